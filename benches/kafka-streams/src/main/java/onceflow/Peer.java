package onceflow;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams with the workloads and the command line of the Rust workers.
 *
 * <pre>
 * run WORKLOAD  --guarantee G --threads N --bootstrap-servers H:P --input T --output T --records N [--profile tuned]
 *               [--table T --table-rows N]
 * idle WORKLOAD --guarantee G --threads N --bootstrap-servers H:P --input T --output T
 * </pre>
 *
 * {@code run} ends after N records with one line of JSON; {@code idle} says {@code running} when it runs, and stays.
 */
public final class Peer {
    public static void main(String[] args) throws Exception {
        long launched = launchedMillis();
        String command = args[0];
        String workload = args[1];
        Map<String, String> options = new HashMap<>();
        for (int i = 2; i + 1 < args.length; i += 2) {
            options.put(args[i], args[i + 1]);
        }
        int threads = Integer.parseInt(options.getOrDefault("--threads", "1"));
        String guarantee = options.getOrDefault("--guarantee", "exactly-once");
        String profile = options.getOrDefault("--profile", "tuned");
        long records = Long.parseLong(options.getOrDefault("--records", "0"));
        long rows = Long.parseLong(options.getOrDefault("--table-rows", "0"));
        Marks marks = new Marks(records, switch (workload) {
            case "repartition" -> 2 * records; // both stages count
            case "join" -> records + rows;
            default -> records;
        });

        Properties config = config(options, threads, guarantee, profile);
        Topology topology = topology(workload, options, marks, config);
        KafkaStreams streams = new KafkaStreams(topology, new StreamsConfig(config), new Clients(marks));
        double[] start = new double[1];
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING && start[0] == 0) {
                start[0] = (System.currentTimeMillis() - launched) / 1e3;
                if (command.equals("idle")) {
                    System.out.println("running");
                }
            }
            if (now == KafkaStreams.State.ERROR) {
                Runtime.getRuntime().halt(1);
            }
        });
        streams.start();
        if (command.equals("idle")) {
            Thread.currentThread().join();
        }
        marks.await();
        String contender = "kafka-streams-" + profile;
        System.out.println(marks.json(contender, workload, guarantee, threads, start[0]));
        streams.close();
    }

    private static Topology topology(String workload, Map<String, String> options, Marks marks, Properties config) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<Long, byte[]> input =
            builder.stream(options.get("--input"), Consumed.with(Serdes.Long(), Serdes.ByteArray()));
        String output = options.get("--output");
        switch (workload) {
            case "map" -> input
                .mapValues(value -> {
                    marks.processed();
                    byte[] mapped = value.clone();
                    mapped[mapped.length - 1]++;
                    return mapped;
                })
                .to(output, Produced.with(Serdes.Long(), Serdes.ByteArray()));
            case "count" -> counted(input, "counts", marks, output);
            case "repartition" -> counted(
                input.selectKey((key, value) -> {
                    marks.processed();
                    return ByteBuffer.wrap(value).getLong();
                }), "counts", marks, output);
            case "join" -> {
                // Rows count as they are taken up: the node behind would cost the peer more.
                KTable<Long, byte[]> rows = builder.table(options.get("--table"),
                    Consumed.with(Serdes.Long(), Serdes.ByteArray())
                        .withTimestampExtractor((record, before) -> {
                            marks.processed();
                            return record.timestamp();
                        }),
                    Materialized.<Long, byte[]>as(Stores.inMemoryKeyValueStore("rows"))
                        .withKeySerde(Serdes.Long()).withValueSerde(Serdes.ByteArray()));
                input
                    .leftJoin(rows, (value, row) -> {
                        marks.processed();
                        byte[] joined = value.clone();
                        if (row != null) {
                            System.arraycopy(row, 0, joined, 0, row.length);
                        }
                        return joined;
                    })
                    .to(output, Produced.with(Serdes.Long(), Serdes.ByteArray()));
            }
            default -> throw new IllegalArgumentException("unknown workload " + workload);
        }
        return builder.build(config);
    }

    private static void counted(KStream<Long, byte[]> stream, String store, Marks marks, String output) {
        stream
            .groupByKey(Grouped.with(Serdes.Long(), Serdes.ByteArray()))
            .count(Materialized.<Long, Long>as(Stores.inMemoryKeyValueStore(store))
                .withKeySerde(Serdes.Long()).withValueSerde(Serdes.Long()))
            .toStream()
            .peek((key, count) -> marks.processed())
            .to(output, Produced.with(Serdes.Long(), Serdes.Long()));
    }

    private static Properties config(Map<String, String> options, int threads, String guarantee, String profile)
            throws Exception {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, options.getOrDefault("--application-id",
            "kafka-streams-" + ProcessHandle.current().pid()));
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("--bootstrap-servers"));
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
            switch (guarantee) {
                case "exactly-once" -> StreamsConfig.EXACTLY_ONCE_V2;
                case "at-least-once" -> StreamsConfig.AT_LEAST_ONCE;
                default -> throw new IllegalArgumentException("Kafka Streams knows no guarantee " + guarantee);
            });
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, options.getOrDefault("--commit-interval-ms", "100"));
        config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        config.put(StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("kafka-streams-").toString());
        config.put("auto.offset.reset", "earliest");
        // One output a record, in each profile: with a cache, records of a key within a batch become one.
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        if (profile.equals("tuned")) {
            config.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
            config.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
            config.put("producer.batch.size", 262_144);
            config.put("producer.linger.ms", 100);
            config.put("producer.buffer.memory", 64 << 20);
            config.put("main.consumer.max.poll.records", 5_000);
            config.put("main.consumer.max.partition.fetch.bytes", 4 << 20);
            for (String client : new String[] {"producer.", "main.consumer."}) {
                config.put(client + "receive.buffer.bytes", 1 << 20);
                config.put(client + "send.buffer.bytes", 1 << 20);
            }
        }
        return config;
    }

    private static long launchedMillis() {
        return ProcessHandle.current().info().startInstant().orElseThrow().toEpochMilli();
    }
}
