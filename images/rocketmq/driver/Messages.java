package rmqkit.driver;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages from and to lines. */
final class Messages {
    private Messages() {
    }

    /**
     * The message that a command describes. The kit's own id, if one is given, becomes UNIQ_KEY (the client makes one
     * only where there is none) and the first of KEYS, exactly as the built-in client does it.
     */
    static Message of(Ask ask) {
        Message message = make(ask.text("topic"), Base64.getDecoder().decode(ask.text("body")), ask.text("tags", ""),
            ask.text("messageId", ""), ask.texts("keys"));
        for (Map.Entry<String, String> pair : ask.pairs("properties").entrySet()) {
            message.putUserProperty(pair.getKey(), pair.getValue());
        }
        if (ask.has("delayLevel")) {
            message.setDelayTimeLevel((int) ask.number("delayLevel"));
        }
        return message;
    }

    static Message make(String topic, byte[] body, String tags, String messageId, List<String> keys) {
        Message message = new Message(topic, body);
        if (!tags.isEmpty()) {
            message.setTags(tags);
        }
        List<String> all = new ArrayList<>();
        if (!messageId.isEmpty()) {
            MessageAccessor.putProperty(message, MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX, messageId);
            all.add(messageId);
        }
        for (String key : keys) {
            if (!all.contains(key)) {
                all.add(key);
            }
        }
        if (!all.isEmpty()) {
            message.setKeys(all);
        }
        return message;
    }

    static Map<String, Object> line(MessageExt message, String brokerName) {
        Map<String, String> properties = new HashMap<>(message.getProperties());
        String keys = message.getKeys();
        return Ask.fields("topic", message.getTopic(), "brokerName", brokerName, "queueId", message.getQueueId(),
            "queueOffset", message.getQueueOffset(), "msgId", message.getMsgId(), "tags", message.getTags(),
            "keys", keys == null || keys.trim().isEmpty() ? null : Arrays.asList(keys.trim().split("\\s+")),
            "properties", properties, "sysFlag", message.getSysFlag(), "reconsumeTimes", message.getReconsumeTimes(),
            "bornTimestamp", message.getBornTimestamp(), "storeTimestamp", message.getStoreTimestamp(),
            "body", Base64.getEncoder().encodeToString(message.getBody()));
    }
}
