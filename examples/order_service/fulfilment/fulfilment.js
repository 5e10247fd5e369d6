// The fulfilment worker: for every order that comes, a shipment goes out. Java 8's JavaScript, RocketMQ's Java client.
var Consumer = Java.type("org.apache.rocketmq.client.consumer.DefaultMQPushConsumer");
var Listener = Java.type("org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently");
var Consumed = Java.type("org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus");
var Producer = Java.type("org.apache.rocketmq.client.producer.DefaultMQProducer");
var SendStatus = Java.type("org.apache.rocketmq.client.producer.SendStatus");
var From = Java.type("org.apache.rocketmq.common.consumer.ConsumeFromWhere");
var Message = Java.type("org.apache.rocketmq.common.message.Message");

// Where the cluster is comes from outside, as everywhere: NAMESRV_ADDR is RocketMQ's own name for it.
var env = java.lang.System.getenv();

var producer = new Producer("fulfilment-out");
producer.setNamesrvAddr(env.NAMESRV_ADDR);
producer.start();

var consumer = new Consumer("fulfilment");
consumer.setNamesrvAddr(env.NAMESRV_ADDR);
consumer.setConsumeFromWhere(From.CONSUME_FROM_FIRST_OFFSET);
consumer.subscribe(env.ORDERS_TOPIC, "*");
consumer.registerMessageListener(new Listener(function (messages, context) {
    for each (var order in messages) {
        var shipment = new Message(env.SHIPMENTS_TOPIC, "", order.getKeys(), order.getBody());
        if (producer.send(shipment).getSendStatus() != SendStatus.SEND_OK) {
            return Consumed.RECONSUME_LATER;
        }
        print("shipped " + order.getKeys());
    }
    return Consumed.CONSUME_SUCCESS;
}));
consumer.start();
print("waiting for orders at " + env.NAMESRV_ADDR);
java.lang.Thread.currentThread().join();
