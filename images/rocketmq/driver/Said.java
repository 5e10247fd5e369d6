package rmqkit.driver;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.hook.SendMessageContext;
import org.apache.rocketmq.client.hook.SendMessageHook;
import org.apache.rocketmq.client.producer.SendResult;

/**
 * What the Java client said, put into fields and not judged: that is the kit's affair. The client tries a send again
 * by itself and tells of the last attempt only; its own hook tells of every attempt that came as far as the network.
 */
final class Said implements SendMessageHook {
    private static final int CAUSES = 3;
    private final ThreadLocal<List<Map<String, Object>>> attempts = ThreadLocal.withInitial(ArrayList::new);

    @Override
    public String hookName() {
        return "rmqkit";
    }

    @Override
    public void sendMessageBefore(SendMessageContext context) {
        attempts.get().add(Ask.fields("broker", context.getBrokerAddr(), "brokerName", context.getMq().getBrokerName(),
            "queueId", context.getMq().getQueueId(), "startNanos", System.nanoTime()));
    }

    @Override
    public void sendMessageAfter(SendMessageContext context) {
        List<Map<String, Object>> all = attempts.get();
        if (all.isEmpty()) {
            return;
        }
        Map<String, Object> last = all.get(all.size() - 1);
        last.put("endNanos", System.nanoTime());
        if (context.getException() != null) {
            last.put("error", error(context.getException()));
        } else if (context.getSendResult() != null) {
            last.put("status", context.getSendResult().getSendStatus().name());
            last.put("offsetMsgId", context.getSendResult().getOffsetMsgId()); // a transaction's own result has none
        }
    }

    /** The attempts of this thread's send that is now over; what the thread does next is another send. */
    List<Map<String, Object>> takeAttempts() {
        List<Map<String, Object>> taken = attempts.get();
        attempts.remove();
        return taken;
    }

    static void result(Map<String, Object> line, SendResult result) {
        line.put("status", result.getSendStatus().name());
        line.put("msgId", result.getMsgId());
        line.put("offsetMsgId", result.getOffsetMsgId());
        line.put("queueOffset", result.getQueueOffset());
        line.put("transactionId", result.getTransactionId());
        if (result.getMessageQueue() != null) {
            line.put("queueId", result.getMessageQueue().getQueueId());
            line.put("brokerName", result.getMessageQueue().getBrokerName());
        }
    }

    /** Class, the broker's or client's code, its words, and what caused it. */
    static Map<String, Object> error(Throwable error) {
        return error(error, CAUSES);
    }

    private static Map<String, Object> error(Throwable error, int causes) {
        Integer code = null;
        String message = error.getMessage();
        if (error instanceof MQBrokerException) {
            code = ((MQBrokerException) error).getResponseCode();
            message = ((MQBrokerException) error).getErrorMessage();
        } else if (error instanceof MQClientException) {
            code = ((MQClientException) error).getResponseCode();
            String own = ((MQClientException) error).getErrorMessage();
            message = own == null ? message : own;
        }
        boolean deeper = causes > 0 && error.getCause() != null && error.getCause() != error;
        return Ask.fields("class", error.getClass().getSimpleName(), "code", code, "message", message,
            "cause", deeper ? error(error.getCause(), causes - 1) : null);
    }
}
