import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcServer;
import com.rabbitmq.client.StringRpcServer;

import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * The steps with RabbitMQ's Java client, which recovers connections, channels and consumers by
 * itself.
 *
 * <p>usage: java JavaClient URL STEP QUEUE
 */
public final class JavaClient {
    private static final long PATIENCE = 20_000;

    private final ConnectionFactory factory = new ConnectionFactory();
    private final String queue;

    private JavaClient(String url, String queue) throws Exception {
        factory.setUri(url);
        factory.setNetworkRecoveryInterval(100);
        this.queue = queue;
    }

    public static void main(String[] args) throws Exception {
        JavaClient client = new JavaClient(args[0], args[2]);
        switch (args[1]) {
            case "publish" -> client.publish();
            case "consume" -> client.consume();
            case "requeue" -> client.requeue();
            case "deadletter" -> client.deadletter();
            case "rpc" -> client.rpc();
            case "reconnect" -> client.reconnect();
            default -> throw new IllegalArgumentException(args[1]);
        }
    }

    private static void say(Object... words) {
        StringBuilder line = new StringBuilder();
        for (Object word : words) {
            line.append(line.length() == 0 ? "" : " ").append(word);
        }
        System.out.println(line);
    }

    private static String text(Delivery delivery) {
        return new String(delivery.getBody());
    }

    private static String freshness(Delivery delivery) {
        return delivery.getEnvelope().isRedeliver() ? "again" : "new";
    }

    private static Channel confirming(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        return channel;
    }

    private void send(Channel channel, String key, String body, BasicProperties properties) throws Exception {
        channel.basicPublish("", key, true, properties, body.getBytes());
        channel.waitForConfirmsOrDie(PATIENCE);
    }

    private void send(Channel channel, String body) throws Exception {
        send(channel, queue, body, MessageProperties.PERSISTENT_TEXT_PLAIN);
    }

    /** The deliveries of a queue, as they come. */
    private static BlockingQueue<Delivery> deliveries(Channel channel, String from, boolean autoAck) throws Exception {
        BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
        channel.basicQos(1);
        channel.basicConsume(from, autoAck, (tag, delivery) -> deliveries.add(delivery), tag -> { });
        return deliveries;
    }

    private static Delivery next(BlockingQueue<Delivery> deliveries) throws Exception {
        Delivery delivery = deliveries.poll(PATIENCE, TimeUnit.MILLISECONDS);
        if (delivery == null) {
            throw new IllegalStateException("no delivery");
        }
        return delivery;
    }

    private static void ack(Channel channel, Delivery delivery) throws Exception {
        channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
    }

    private void publish() throws Exception {
        try (Connection connection = factory.newConnection(); Channel channel = confirming(connection)) {
            channel.addReturnListener(stray -> say("returned", stray.getReplyText()));
            channel.queueDeclare(queue, true, false, false, null);
            for (String body : List.of("message 1", "message 2", "message 3")) {
                send(channel, body);
                say("confirmed", body);
            }
            send(channel, queue + ".nobody", "stray", null);
        }
    }

    private void consume() throws Exception {
        try (Connection connection = factory.newConnection(); Channel channel = connection.createChannel()) {
            BlockingQueue<Delivery> deliveries = deliveries(channel, queue, false);
            Delivery delivery;
            do {
                delivery = next(deliveries);
                say("got", text(delivery), freshness(delivery));
                ack(channel, delivery);
            } while (!text(delivery).equals("message 3"));
        }
    }

    private void requeue() throws Exception {
        try (Connection connection = factory.newConnection(); Channel channel = connection.createChannel()) {
            BlockingQueue<Delivery> deliveries = deliveries(channel, queue, false);
            Delivery delivery = next(deliveries);
            say("got", text(delivery), freshness(delivery));
            channel.basicNack(delivery.getEnvelope().getDeliveryTag(), false, true);
            delivery = next(deliveries);
            say("got", text(delivery), freshness(delivery));
            ack(channel, delivery);
        }
    }

    private void deadletter() throws Exception {
        try (Connection connection = factory.newConnection(); Channel channel = confirming(connection)) {
            channel.queueDeclare(queue + ".dead", true, false, false, null);
            channel.queueDeclare(queue, true, false, false, Map.of(
                    "x-dead-letter-exchange", "", "x-dead-letter-routing-key", queue + ".dead"));
            send(channel, "spoiled");
            channel.basicReject(channel.basicGet(queue, false).getEnvelope().getDeliveryTag(), false);
            BlockingQueue<Delivery> graves = deliveries(channel, queue + ".dead", true);
            obituary(next(graves));
            send(channel, queue, "late", new BasicProperties.Builder().expiration("20").build());
            obituary(next(graves));
        }
    }

    private static void obituary(Delivery grave) {
        Map<?, ?> death = (Map<?, ?>) ((List<?>) grave.getProperties().getHeaders().get("x-death")).get(0);
        StringBuilder keys = new StringBuilder();
        for (Object key : (List<?>) death.get("routing-keys")) {
            keys.append(keys.length() == 0 ? "" : " ").append(key);
        }
        Object expiration = death.get("original-expiration");
        say("dead", text(grave), death.get("reason"), "from", death.get("queue"), "count", death.get("count"),
                "keys", keys, "expiration", expiration == null ? "none" : expiration);
    }

    private void rpc() throws Exception {
        try (Connection serving = factory.newConnection(); Connection asking = factory.newConnection()) {
            Channel channel = serving.createChannel();
            channel.queueDeclare(queue, false, false, true, null);
            RpcServer server = new StringRpcServer(channel, queue) {
                @Override
                public String handleStringCall(String request, BasicProperties properties) {
                    return request.toUpperCase();
                }
            };
            Thread loop = new Thread(() -> {
                try {
                    server.mainloop();
                } catch (Exception e) {
                    e.printStackTrace();
                }
            });
            loop.setDaemon(true);
            loop.start();
            // Without a reply queue of its own it asks for direct replies.
            RpcClient client = new RpcClient(asking.createChannel(), "", queue);
            for (String word : List.of("one", "two", "three")) {
                say("answer", word, client.stringCall(word));
            }
            server.terminateMainloop();
        }
    }

    private void reconnect() throws Exception {
        try (Connection connection = factory.newConnection()) {
            Channel publisher = confirming(connection);
            publisher.queueDeclare(queue, true, false, false, null);
            for (String body : List.of("message 1", "message 2", "message 3")) {
                send(publisher, body);
            }
            say("confirmed");
            connection.addShutdownListener(cause -> {
                if (!cause.isInitiatedByApplication()) {
                    say("lost");
                }
            });
            Channel channel = connection.createChannel();
            BlockingQueue<Delivery> deliveries = deliveries(channel, queue, false);
            say("holding", text(next(deliveries)));
            Delivery delivery;
            do {
                delivery = next(deliveries);
                say("got", text(delivery), freshness(delivery));
                ack(channel, delivery);
                if (text(delivery).equals("message 3")) {
                    send(publisher, "message 4");
                    say("confirmed message 4");
                }
            } while (!text(delivery).equals("message 4"));
        }
    }
}
