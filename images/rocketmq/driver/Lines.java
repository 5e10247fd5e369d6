package rmqkit.driver;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;

/** What the driver says: one JSON object a line, in the order said, written by one thread. A reader that does not keep
 * up holds back whoever speaks. */
final class Lines extends Thread {
    private static final String END = "";
    private final BlockingQueue<String> waiting = new ArrayBlockingQueue<>(4096);
    private final OutputStream out;

    Lines(OutputStream out) {
        super("rmqkit-lines");
        this.out = new BufferedOutputStream(out, 1 << 16);
        setDaemon(true);
        start();
    }

    void say(Map<String, Object> line) {
        put(Json.write(line));
    }

    /** Everything said so far is written, or a second has passed. */
    void finish() throws InterruptedException {
        put(END);
        join(1000);
    }

    private void put(String line) {
        boolean interrupted = false;
        while (true) {
            try {
                waiting.put(line);
                break;
            } catch (InterruptedException e) {
                interrupted = true; // what happened must be said all the same
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void run() {
        try {
            while (true) {
                String line = waiting.poll();
                if (line == null) {
                    out.flush();
                    line = waiting.take();
                }
                if (line.isEmpty()) {
                    out.flush();
                    return;
                }
                out.write(line.getBytes(StandardCharsets.US_ASCII));
                out.write('\n');
            }
        } catch (IOException | InterruptedException e) {
            Runtime.getRuntime().halt(3); // nobody listens any more
        }
    }
}
