package rmqkit.driver;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;

/**
 * Traffic made here, so that a line for each send is not what is measured: n threads that send one after another, as
 * fast as they can or to a timetable. What became of each goes out in lines of many; the kit judges it.
 */
final class Load {
    private static final int LINE = 256;
    private static final long LINE_NANOS = 100_000_000L;
    private final long id;
    private final Lines lines;
    private final Said said = new Said();
    private final DefaultMQProducer producer;
    private final Ask ask;
    private final boolean records;
    private final int threads;
    private final long startNanos;
    private final long endNanos;
    private final long count;
    private final AtomicLong taken = new AtomicLong();
    private final AtomicLong acked = new AtomicLong();
    private final AtomicLong failed = new AtomicLong();
    private final AtomicInteger running;
    private final List<int[]> latencies = Collections.synchronizedList(new ArrayList<>());
    private volatile boolean stopped;

    Load(long id, Ask ask, Lines lines) throws Exception {
        this.id = id;
        this.ask = ask;
        this.lines = lines;
        records = ask.flag("records");
        threads = (int) ask.number("threads", 10);
        count = ask.number("count", Long.MAX_VALUE);
        producer = Producing.start(ask, null, said, "load-" + id);
        startNanos = System.nanoTime();
        double seconds = ask.decimal("seconds", 0);
        endNanos = seconds > 0 ? startNanos + (long) (seconds * 1e9) : Long.MAX_VALUE;
        running = new AtomicInteger(threads);
        for (int i = 0; i < threads; i++) {
            int number = i;
            Thread thread = new Thread(() -> work(number), "rmqkit-load-" + i);
            thread.setDaemon(true);
            thread.start();
        }
    }

    void stop() {
        stopped = true;
    }

    private void work(int number) {
        Batch batch = new Batch(number);
        try {
            send(number, batch);
        } catch (Throwable e) {
            lines.say(Ask.fields("event", "load-trouble", "load", id, "thread", number, "error", Said.error(e)));
        }
        batch.flush();
        latencies.add(Arrays.copyOf(batch.micros, batch.samples));
        if (running.decrementAndGet() == 0) {
            long ended = System.nanoTime();
            lines.say(Ask.fields("id", id, "ok", true, "startNanos", startNanos, "endNanos", ended, "acked", acked.get(),
                "failed", failed.get(), "latencyMicros", percentiles()));
            producer.shutdown();
        }
    }

    private void send(int number, Batch batch) {
        String topic = ask.text("topic");
        String tags = ask.text("tags", "");
        String prefix = ask.text("idPrefix", "");
        byte[] body = new byte[(int) ask.number("bytes", 128)];
        Arrays.fill(body, (byte) 'x');
        double rate = ask.decimal("rate", 0);
        double gap = rate > 0 ? threads * 1e9 / rate : 0;
        for (long sequence = 0; !stopped && taken.getAndIncrement() < count; sequence++) {
            long intended = System.nanoTime();
            if (gap > 0) {
                intended = startNanos + (long) (gap * sequence + gap * number / threads);
                batch.flush(intended);
                while (!stopped && System.nanoTime() < intended) {
                    LockSupport.parkNanos(Math.min(intended - System.nanoTime(), 50_000_000L));
                }
            }
            if (intended >= endNanos || stopped) {
                return;
            }
            String messageId = prefix.isEmpty() ? "" : prefix + number + "-" + sequence;
            Message message = Messages.make(topic, body, tags, messageId, Collections.<String>emptyList());
            one(batch, sequence, intended, message);
        }
    }

    private void one(Batch batch, long sequence, long intended, Message message) {
        said.takeAttempts();
        long start = System.nanoTime();
        SendResult result = null;
        Throwable error = null;
        try {
            result = producer.send(message);
        } catch (Throwable e) {
            error = e;
        }
        long end = System.nanoTime();
        batch.sample(end - start);
        if (result != null && result.getSendStatus() == SendStatus.SEND_OK) {
            acked.incrementAndGet();
            if (records) {
                batch.acked.add(Arrays.<Object>asList(sequence, intended, start, end, result.getMessageQueue().getQueueId(),
                    result.getQueueOffset(), result.getOffsetMsgId(), result.getMessageQueue().getBrokerName()));
            }
        } else {
            failed.incrementAndGet();
            if (records) {
                Map<String, Object> line = Ask.fields("sequence", sequence, "intendedNanos", intended, "startNanos", start,
                    "endNanos", end, "ok", error == null, "error", error == null ? null : Said.error(error));
                if (result != null) {
                    Said.result(line, result);
                }
                line.put("attempts", said.takeAttempts());
                batch.failed.add(line);
            }
        }
        batch.flush(end);
    }

    private Map<String, Object> percentiles() {
        int[] all = new int[0];
        synchronized (latencies) {
            for (int[] each : latencies) {
                int from = all.length;
                all = Arrays.copyOf(all, from + each.length);
                System.arraycopy(each, 0, all, from, each.length);
            }
        }
        Arrays.sort(all);
        if (all.length == 0) {
            return Ask.fields();
        }
        int last = all.length - 1;
        return Ask.fields("p50", all[last / 2], "p99", all[(int) (last * 0.99)], "max", all[last], "samples", all.length);
    }

    /** What one thread has not said yet. */
    private final class Batch {
        private static final int SAMPLES = 1 << 20;
        private final int thread;
        private List<Object> acked = new ArrayList<>();
        private List<Object> failed = new ArrayList<>();
        private int[] micros = new int[1024];
        private int samples;
        private long saidAt = System.nanoTime();

        Batch(int thread) {
            this.thread = thread;
        }

        void sample(long nanos) {
            if (samples == micros.length && samples < SAMPLES) {
                micros = Arrays.copyOf(micros, samples * 2);
            }
            if (samples < micros.length) {
                micros[samples++] = (int) Math.min(Integer.MAX_VALUE, TimeUnit.NANOSECONDS.toMicros(nanos));
            }
        }

        void flush(long now) {
            if (acked.size() + failed.size() >= LINE || now - saidAt > LINE_NANOS) {
                saidAt = now;
                flush();
            }
        }

        void flush() {
            if (!acked.isEmpty() || !failed.isEmpty()) {
                lines.say(Ask.fields("event", "load", "load", id, "thread", thread, "acked", acked, "failed", failed));
                acked = new ArrayList<>();
                failed = new ArrayList<>();
            }
        }
    }
}
