package rmqkit.driver;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** One push consumer of the Java client. Each message is a line; the client's thread waits for the kit's answer. */
final class Consuming {
    private final String name;
    private final Lines lines;
    private final DefaultMQPushConsumer consumer;
    private final boolean counting;
    private final boolean asking;
    private final long ackTimeoutMs;
    private final AtomicLong tokens = new AtomicLong();
    private final Map<Long, CompletableFuture<Boolean>> open = new ConcurrentHashMap<>();
    private final AtomicLong count = new AtomicLong();
    private volatile long firstNanos;
    private volatile long lastNanos;
    private volatile boolean closing;

    Consuming(Ask ask, Lines lines) throws Exception {
        this.lines = lines;
        name = ask.text("name");
        counting = ask.flag("countOnly");
        asking = !counting && !ask.flag("autoAck");
        ackTimeoutMs = ask.number("ackTimeoutMs", 600_000);
        consumer = new DefaultMQPushConsumer(ask.text("group"));
        consumer.setNamesrvAddr(ask.text("namesrv"));
        consumer.setInstanceName(name);
        consumer.setVipChannelEnabled(false);
        consumer.setConsumeFromWhere(where(ask.text("from", "first")));
        if (ask.has("timestamp")) {
            consumer.setConsumeTimestamp(ask.text("timestamp")); // yyyyMMddHHmmss
        }
        if (ask.flag("broadcast")) {
            setBroadcasting(consumer);
        }
        int threads = (int) ask.number("threads", 20);
        consumer.setConsumeThreadMin(threads);
        consumer.setConsumeThreadMax(threads);
        consumer.setConsumeMessageBatchMaxSize((int) ask.number("consumeBatch", 1));
        consumer.setPullBatchSize((int) ask.number("pullBatch", consumer.getPullBatchSize()));
        if (ask.has("heartbeatMs")) {
            consumer.setHeartbeatBrokerInterval((int) ask.number("heartbeatMs"));
        }
        if (ask.has("queueMegabytes")) { // 100 for each queue by default: more than a small heap has
            consumer.setPullThresholdSizeForQueue((int) ask.number("queueMegabytes"));
        }
        if (ask.has("maxReconsumeTimes")) {
            consumer.setMaxReconsumeTimes((int) ask.number("maxReconsumeTimes"));
        }
        for (Ask each : ask.asks("topics")) {
            consumer.subscribe(each.text("topic"), each.text("expression", "*"));
        }
        listen(ask.flag("orderly"));
        consumer.start();
    }

    private void listen(boolean orderly) {
        if (orderly) {
            consumer.registerMessageListener((MessageListenerOrderly) (messages, context) ->
                all(messages, context.getMessageQueue().getBrokerName()) ? ConsumeOrderlyStatus.SUCCESS
                    : ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT);
        } else {
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) ->
                all(messages, context.getMessageQueue().getBrokerName()) ? ConsumeConcurrentlyStatus.CONSUME_SUCCESS
                    : ConsumeConcurrentlyStatus.RECONSUME_LATER);
        }
    }

    private boolean all(List<MessageExt> messages, String brokerName) {
        if (counting) {
            long now = System.nanoTime();
            if (count.getAndAdd(messages.size()) == 0) {
                firstNanos = now;
            }
            lastNanos = now;
            return true;
        }
        boolean good = true;
        for (MessageExt message : messages) {
            good &= one(message, brokerName);
        }
        return good;
    }

    private boolean one(MessageExt message, String brokerName) {
        long token = tokens.incrementAndGet();
        Map<String, Object> line = Messages.line(message, brokerName);
        line.put("event", "message");
        line.put("consumer", name);
        line.put("token", token);
        line.put("nanos", System.nanoTime());
        CompletableFuture<Boolean> answer = new CompletableFuture<>();
        if (asking) {
            open.put(token, answer);
        }
        lines.say(line);
        if (!asking) {
            return true;
        }
        try {
            return !closing && answer.get(ackTimeoutMs, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            lines.say(Ask.fields("event", "ack-timeout", "consumer", name, "token", token));
            return false;
        } catch (Exception e) {
            return false;
        } finally {
            open.remove(token);
        }
    }

    /** How many of these were still waiting for an answer. */
    int ack(List<String> which, boolean success) {
        int found = 0;
        for (String token : which) {
            CompletableFuture<Boolean> answer = open.get(Long.valueOf(token));
            found += answer != null && answer.complete(success) ? 1 : 0;
        }
        return found;
    }

    Map<String, Object> counted() {
        return Ask.fields("count", count.get(), "firstNanos", firstNanos, "lastNanos", lastNanos);
    }

    /** The queues that are this member's now, as {topic, brokerName, queueId}, without those for retries. */
    List<Object> assignment() {
        List<MessageQueue> queues = new ArrayList<>(
            consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet());
        Collections.sort(queues);
        List<Object> out = new ArrayList<>();
        for (MessageQueue queue : queues) {
            if (!queue.getTopic().startsWith("%RETRY%")) {
                out.add(Ask.fields("topic", queue.getTopic(), "brokerName", queue.getBrokerName(), "queueId", queue.getQueueId()));
            }
        }
        return out;
    }

    void close() {
        closing = true;
        for (CompletableFuture<Boolean> answer : open.values()) {
            answer.complete(false);
        }
        consumer.shutdown();
    }

    private static ConsumeFromWhere where(String word) {
        switch (word) {
            case "first":
                return ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET;
            case "last":
                return ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET;
            case "time":
                return ConsumeFromWhere.CONSUME_FROM_TIMESTAMP;
            default:
                throw new IllegalArgumentException("from is not first, last or time: " + word);
        }
    }

    /** MessageModel moved to another package in 5.0, so it is not named here. */
    private static void setBroadcasting(DefaultMQPushConsumer consumer) throws Exception {
        for (Method method : DefaultMQPushConsumer.class.getMethods()) {
            if (method.getName().equals("setMessageModel")) {
                for (Object each : method.getParameterTypes()[0].getEnumConstants()) {
                    if (((Enum<?>) each).name().equals("BROADCASTING")) {
                        method.invoke(consumer, each);
                        return;
                    }
                }
            }
        }
        throw new IllegalStateException("this client has no broadcasting");
    }
}
