package onceflow;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;

/**
 * When the run began, was half done and ended, in time and in the process's CPU time.
 *
 * <p>A record counts once its transaction (or its offsets, at least once) is committed: each stream thread counts what
 * it processed, and adds it here when its client has committed. This mirrors {@code src/marks.rs}.
 */
final class Marks {
    private record Mark(long nanos, long cpuNanos, long records) {
        static Mark now(long records) {
            var os = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            return new Mark(System.nanoTime(), os.getProcessCpuTime(), records);
        }
    }

    private final long records;
    private final long expected;
    private final CountDownLatch done = new CountDownLatch(1);
    private final ThreadLocal<long[]> processed = ThreadLocal.withInitial(() -> new long[1]);
    private long committed;
    private long commits;
    private volatile Mark first;
    private Mark half;
    private Mark last;

    /** Of so many records of input, which are so many to process over all stages and inputs. */
    Marks(long records, long expected) {
        this.records = records;
        this.expected = expected;
    }

    /** On a stream thread: one more record was processed. */
    void processed() {
        if (first == null) {
            begin();
        }
        processed.get()[0]++;
    }

    private synchronized void begin() {
        if (first == null) {
            first = Mark.now(0);
        }
    }

    /** On a stream thread: what it processed is committed. */
    void committed() {
        long[] open = processed.get();
        if (open[0] > 0) {
            add(open[0]);
            open[0] = 0;
        }
    }

    private synchronized void add(long records) {
        committed += records;
        commits++;
        if (half == null && committed * 2 >= expected) {
            half = Mark.now(committed);
        }
        if (last == null && committed >= expected) {
            last = Mark.now(committed);
            done.countDown();
        }
    }

    void await() throws InterruptedException {
        done.await();
    }

    /** One line of JSON, with the names that {@code src/report.rs} reads. */
    synchronized String json(String contender, String workload, String guarantee, int threads, double startSeconds) {
        double seconds = (last.nanos - first.nanos) / 1e9;
        double warmSeconds = (last.nanos - half.nanos) / 1e9;
        return String.format(java.util.Locale.ROOT,
            "{\"contender\":\"%s\",\"workload\":\"%s\",\"guarantee\":\"%s\",\"threads\":%d,\"records\":%d,"
                + "\"commits\":%d,\"start_seconds\":%.4f,\"seconds\":%.4f,\"cpu_seconds\":%.4f,\"warm_share\":%.6f,"
                + "\"warm_seconds\":%.4f,\"warm_cpu_seconds\":%.4f,\"peak_rss_bytes\":%d}",
            contender, workload, guarantee, threads, records, commits, startSeconds, seconds,
            (last.cpuNanos - first.cpuNanos) / 1e9, (double) (last.records - half.records) / expected, warmSeconds,
            (last.cpuNanos - half.cpuNanos) / 1e9, peakRssBytes());
    }

    static long peakRssBytes() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("VmHWM:")) {
                    return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
                }
            }
        } catch (IOException e) {
            return 0;
        }
        return 0;
    }
}
