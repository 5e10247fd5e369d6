package rmqkit.driver;

import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.common.MQVersion;

/**
 * The official Java client under the kit's command: one JSON object a line in, one a line out (docs/java-driver.md).
 * The end of standard input is the end of the program, so nothing outlives the kit.
 */
public final class Main {
    /** Counted up when a line changes its meaning; the kit refuses another number. */
    private static final int PROTOCOL = 1;
    private static final long LAST_WORDS_MS = 8_000;

    private final Lines lines;
    private final Map<String, Producing> producers = new ConcurrentHashMap<>();
    private final Map<String, Consuming> consumers = new ConcurrentHashMap<>();
    private final Map<Long, Load> loads = new ConcurrentHashMap<>();

    private Main(Lines lines) {
        this.lines = lines;
    }

    public static void main(String[] args) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err); // whatever a library prints must not get between the lines
        Lines lines = new Lines(out);
        lines.say(Ask.fields("event", "hello", "protocol", PROTOCOL, "client",
            MQVersion.getVersionDesc(MQVersion.CURRENT_VERSION), "java", System.getProperty("java.version"),
            "nanos", System.nanoTime()));
        Main main = new Main(lines);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            if (!line.trim().isEmpty()) {
                main.take(line);
            }
        }
        main.end();
    }

    private void take(String line) {
        long id = -1;
        try {
            Ask ask = new Ask(Json.parse(line));
            id = ask.number("id");
            act(id, ask);
        } catch (Throwable e) {
            lines.say(Ask.fields("id", id, "ok", false, "error", Said.error(e), "nanos", System.nanoTime()));
        }
    }

    private void act(long id, Ask ask) throws Exception {
        String verb = ask.text("do");
        switch (verb) {
            case "ping":
                done(id, Ask.fields("nanos", System.nanoTime(), "cpuNanos", cpu()));
                break;
            case "producer":
            case "consumer":
            case "close":
                apart(id, verb, ask); // these take their time; other commands need not wait
                break;
            case "send":
                producer(ask).send(id, ask);
                break;
            case "oneway":
                producer(ask).oneway(id, ask);
                break;
            case "batch":
                producer(ask).batch(id, ask);
                break;
            case "transaction":
                producer(ask).transaction(id, ask);
                break;
            case "search":
                producer(ask).search(id, ask);
                break;
            case "ack":
                done(id, Ask.fields("found", consumer(ask).ack(ask.texts("tokens"), !ask.flag("later"))));
                break;
            case "assignment":
                done(id, Ask.fields("queues", consumer(ask).assignment()));
                break;
            case "counted":
                done(id, consumer(ask).counted());
                break;
            case "load":
                loads.put(id, new Load(id, ask, lines));
                break;
            case "stop":
                Load load = loads.get(ask.number("load"));
                if (load == null) {
                    throw new IllegalArgumentException("there is no load " + ask.number("load"));
                }
                load.stop();
                done(id, Ask.fields());
                break;
            default:
                throw new IllegalArgumentException("unknown command: " + verb);
        }
    }

    private void apart(long id, String verb, Ask ask) {
        Thread thread = new Thread(() -> {
            try {
                openOrClose(verb, ask);
                done(id, Ask.fields());
            } catch (Throwable e) {
                lines.say(Ask.fields("id", id, "ok", false, "error", Said.error(e), "nanos", System.nanoTime()));
            }
        }, "rmqkit-" + verb);
        thread.setDaemon(true);
        thread.start();
    }

    private void openOrClose(String verb, Ask ask) throws Exception {
        String name = ask.text("name");
        if (verb.equals("producer")) {
            producers.put(name, new Producing(ask, lines));
        } else if (verb.equals("consumer")) {
            consumers.put(name, new Consuming(ask, lines));
        } else {
            Producing producer = producers.remove(name);
            Consuming consumer = consumers.remove(name);
            if (producer == null && consumer == null) {
                throw new IllegalArgumentException("there is no producer or consumer " + name);
            }
            if (producer != null) {
                producer.close();
            }
            if (consumer != null) {
                consumer.close();
            }
        }
    }

    private Producing producer(Ask ask) {
        return known(producers, ask.text("producer"), "producer");
    }

    private Consuming consumer(Ask ask) {
        return known(consumers, ask.text("consumer"), "consumer");
    }

    private static <T> T known(Map<String, T> all, String name, String what) {
        T found = all.get(name);
        if (found == null) {
            throw new IllegalArgumentException("there is no " + what + " " + name + "; open are " + all.keySet());
        }
        return found;
    }

    private void done(long id, Map<String, Object> answer) {
        Map<String, Object> line = Ask.fields("id", id, "ok", true);
        line.putAll(answer);
        lines.say(line);
    }

    private static long cpu() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    /** Consumers say goodbye to their brokers, so that their queues go to others at once; but not for ever. */
    private void end() throws InterruptedException {
        Thread bound = new Thread(() -> {
            try {
                Thread.sleep(LAST_WORDS_MS);
            } catch (InterruptedException e) {
                return;
            }
            Runtime.getRuntime().halt(4);
        }, "rmqkit-bound");
        bound.setDaemon(true);
        bound.start();
        for (Load load : loads.values()) {
            load.stop();
        }
        for (Consuming consumer : consumers.values()) {
            consumer.close();
        }
        for (Producing producer : producers.values()) {
            producer.close();
        }
        lines.say(Ask.fields("event", "bye"));
        lines.finish();
        Runtime.getRuntime().halt(0); // the client leaves threads behind that would keep the program alive
    }
}
