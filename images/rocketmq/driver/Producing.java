package rmqkit.driver;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.MessageQueueSelector;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.client.producer.selector.SelectMessageQueueByHash;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** One producer of the Java client. Every send has a thread to itself, so several are under way at a time. */
final class Producing implements TransactionListener {
    private final String name;
    private final Lines lines;
    private final DefaultMQProducer producer;
    private final Said said = new Said();
    private final ExecutorService threads;
    private final String checkOtherwise;
    private final Map<String, List<String>> checks = new ConcurrentHashMap<>();

    Producing(Ask ask, Lines lines) throws Exception {
        this.lines = lines;
        name = ask.text("name");
        checkOtherwise = ask.text("check", "unknown");
        producer = start(ask, ask.flag("transactional") ? this : null, said, name);
        threads = Executors.newFixedThreadPool((int) ask.number("threads", 16));
    }

    static DefaultMQProducer start(Ask ask, TransactionListener listener, Said said, String instance) throws Exception {
        DefaultMQProducer producer;
        if (listener != null) {
            TransactionMQProducer transactional = new TransactionMQProducer(ask.text("group"));
            transactional.setTransactionListener(listener);
            producer = transactional;
        } else {
            producer = new DefaultMQProducer(ask.text("group"));
        }
        producer.setNamesrvAddr(ask.text("namesrv"));
        producer.setInstanceName(instance);
        producer.setVipChannelEnabled(false); // listenPort-2 is not part of what the kit publishes
        producer.setSendMsgTimeout((int) ask.number("timeoutMs", producer.getSendMsgTimeout()));
        producer.setRetryTimesWhenSendFailed((int) ask.number("retries", producer.getRetryTimesWhenSendFailed()));
        producer.setCompressMsgBodyOverHowmuch((int) ask.number("compressOver", producer.getCompressMsgBodyOverHowmuch()));
        if (ask.has("routeRefreshMs")) {
            producer.setPollNameServerInterval((int) ask.number("routeRefreshMs"));
        }
        if (said != null) {
            producer.getDefaultMQProducerImpl().registerSendMessageHook(said);
        }
        producer.start();
        return producer;
    }

    void close() {
        threads.shutdownNow();
        producer.shutdown();
    }

    /** Does {@code work} on a thread of its own and says what came of it under the command's id. */
    void submit(long id, Work work) {
        try {
            threads.execute(() -> answer(id, work));
        } catch (RejectedExecutionException e) {
            lines.say(Ask.fields("id", id, "ok", false, "error", Said.error(e), "attempts", new ArrayList<>()));
        }
    }

    private void answer(long id, Work work) {
        said.takeAttempts();
        Map<String, Object> line = Ask.fields("id", id, "ok", true, "startNanos", System.nanoTime());
        try {
            work.into(line);
        } catch (Throwable e) { // every end of a send has an answer
            line.put("ok", false);
            line.put("error", Said.error(e));
        }
        line.put("endNanos", System.nanoTime());
        line.put("attempts", said.takeAttempts());
        lines.say(line);
    }

    interface Work {
        void into(Map<String, Object> line) throws Exception;
    }

    void send(long id, Ask ask) {
        submit(id, line -> {
            Message message = Messages.of(ask);
            long timeout = ask.number("timeoutMs", producer.getSendMsgTimeout());
            MessageQueueSelector selector = selector(ask);
            Object argument = ask.has("queueId") ? (Object) (int) ask.number("queueId") : ask.text("shardingKey", "");
            SendResult result = selector == null ? producer.send(message, timeout)
                : producer.send(message, selector, argument, timeout);
            Said.result(line, result);
        });
    }

    void oneway(long id, Ask ask) {
        submit(id, line -> {
            MessageQueueSelector selector = selector(ask);
            if (selector == null) {
                producer.sendOneway(Messages.of(ask));
            } else {
                producer.sendOneway(Messages.of(ask), selector,
                    ask.has("queueId") ? (Object) (int) ask.number("queueId") : ask.text("shardingKey"));
            }
        });
    }

    private static MessageQueueSelector selector(Ask ask) {
        if (ask.has("queueId")) {
            return (queues, message, wanted) -> {
                for (MessageQueue queue : queues) {
                    if (queue.getQueueId() == (Integer) wanted) {
                        return queue;
                    }
                }
                throw new IllegalArgumentException("the route of " + message.getTopic() + " has no queue " + wanted + ": " + queues);
            };
        }
        return ask.has("shardingKey") ? new SelectMessageQueueByHash() : null;
    }

    void batch(long id, Ask ask) {
        submit(id, line -> {
            List<Message> messages = new ArrayList<>();
            for (Ask each : ask.asks("messages")) {
                messages.add(Messages.of(each));
            }
            Said.result(line, producer.send(messages, ask.number("timeoutMs", producer.getSendMsgTimeout())));
        });
    }

    /** A half message, then what the script says: commit, rollback, unknown or throw; check-backs get the next of
     * "checks" each, the last one from then on. */
    void transaction(long id, Ask ask) {
        submit(id, line -> {
            if (!(producer instanceof TransactionMQProducer)) {
                throw new IllegalArgumentException("producer " + name + " was not opened as transactional");
            }
            Message message = Messages.of(ask);
            String key = message.getProperty(MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX);
            if (key == null) {
                throw new IllegalArgumentException("a transactional message needs a messageId, to tell its check-backs");
            }
            checks.put(key, ask.texts("checks"));
            TransactionSendResult result = producer.sendMessageInTransaction(message, ask.text("local"));
            Said.result(line, result);
            line.put("localState", result.getLocalTransactionState().name());
        });
    }

    @Override
    public LocalTransactionState executeLocalTransaction(Message message, Object script) {
        if ("throw".equals(script)) {
            throw new IllegalStateException("the script said: throw");
        }
        return state((String) script);
    }

    @Override
    public LocalTransactionState checkLocalTransaction(MessageExt message) {
        String key = message.getProperty(MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX);
        List<String> script = key == null ? null : checks.get(key);
        String answer = checkOtherwise;
        if (script != null) {
            synchronized (script) {
                if (!script.isEmpty()) {
                    answer = script.size() > 1 ? script.remove(0) : script.get(0);
                }
            }
        }
        lines.say(Ask.fields("event", "check", "producer", name, "messageId", key, "known", script != null,
            "answer", answer, "nanos", System.nanoTime()));
        return state(answer);
    }

    private static LocalTransactionState state(String word) {
        switch (word) {
            case "commit":
                return LocalTransactionState.COMMIT_MESSAGE;
            case "rollback":
                return LocalTransactionState.ROLLBACK_MESSAGE;
            case "unknown":
                return LocalTransactionState.UNKNOW;
            default:
                throw new IllegalArgumentException("not commit, rollback, unknown or throw: " + word);
        }
    }

    /** Look messages up by one of KEYS, or the one of a UNIQ_KEY. */
    void search(long id, Ask ask) {
        submit(id, line -> {
            List<Object> found = new ArrayList<>();
            if (ask.has("uniqueKey")) {
                MessageExt message = producer.getDefaultMQProducerImpl()
                    .queryMessageByUniqKey(ask.text("topic"), ask.text("uniqueKey"));
                if (message != null) {
                    found.add(Messages.line(message, null));
                }
            } else {
                QueryResult result = producer.queryMessage(ask.text("topic"), ask.text("key"), 64, 0, Long.MAX_VALUE);
                for (MessageExt message : result.getMessageList()) {
                    found.add(Messages.line(message, null));
                }
            }
            line.put("messages", found);
        });
    }
}
