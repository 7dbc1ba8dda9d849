/* The steps with rabbitmq-c, the client below many others.
 *
 * usage: rabbitmq_c_client URL STEP QUEUE
 */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *url;
static const char *queue;
static char dead[512];
static char nobody[512];

static void say(const char *format, ...) {
    va_list words;
    va_start(words, format);
    vprintf(format, words);
    va_end(words);
    putchar('\n');
    fflush(stdout);
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static amqp_bytes_t bytes(const char *text) { return amqp_cstring_bytes(text); }

static void check(amqp_rpc_reply_t reply, const char *what) {
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        fprintf(stderr, "%s\n", amqp_error_string2(reply.library_error));
    fail(what);
}

/* A connection with channel 1 open, or NULL if the broker is not there. */
static amqp_connection_state_t try_connect(void) {
    char parts[512];
    struct amqp_connection_info info;
    snprintf(parts, sizeof parts, "%s", url);
    if (amqp_parse_url(parts, &info) != AMQP_STATUS_OK) fail("bad URL");
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    if (amqp_socket_open(socket, info.host, info.port) != AMQP_STATUS_OK) {
        amqp_destroy_connection(connection);
        return NULL;
    }
    amqp_rpc_reply_t reply = amqp_login(connection, info.vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 60,
                                        AMQP_SASL_METHOD_PLAIN, info.user, info.password);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        amqp_destroy_connection(connection);
        return NULL;
    }
    amqp_channel_open(connection, 1);
    check(amqp_get_rpc_reply(connection), "channel.open");
    return connection;
}

static amqp_connection_state_t connect_to_broker(void) {
    for (int attempt = 0; attempt < 200; attempt++) {
        amqp_connection_state_t connection = try_connect();
        if (connection != NULL) return connection;
        usleep(100 * 1000);
    }
    fail("no broker");
    return NULL;
}

static void close_connection(amqp_connection_state_t connection) {
    check(amqp_connection_close(connection, AMQP_REPLY_SUCCESS), "connection.close");
    amqp_destroy_connection(connection);
}

static void declare(amqp_connection_state_t connection, const char *name, bool durable, bool auto_delete,
                    amqp_table_t arguments) {
    amqp_queue_declare(connection, 1, bytes(name), false, durable, false, auto_delete, arguments);
    check(amqp_get_rpc_reply(connection), "queue.declare");
}

static void confirming(amqp_connection_state_t connection) {
    amqp_confirm_select(connection, 1);
    check(amqp_get_rpc_reply(connection), "confirm.select");
}

static amqp_basic_properties_t persistent(void) {
    return (amqp_basic_properties_t){._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
}

static void publish_message(amqp_connection_state_t connection, const char *key, const char *body, bool mandatory,
                            amqp_basic_properties_t properties) {
    if (amqp_basic_publish(connection, 1, amqp_empty_bytes, bytes(key), mandatory, false, &properties,
                           bytes(body)) != AMQP_STATUS_OK)
        fail("basic.publish");
}

/* Waits for the confirm of one message, and tells of a return that precedes it. */
static void await_confirm(amqp_connection_state_t connection) {
    for (;;) {
        amqp_frame_t frame;
        if (amqp_simple_wait_frame(connection, &frame) != AMQP_STATUS_OK) fail("no confirm");
        if (frame.frame_type != AMQP_FRAME_METHOD) continue;
        switch (frame.payload.method.id) {
        case AMQP_BASIC_ACK_METHOD:
            return;
        case AMQP_BASIC_NACK_METHOD:
            fail("nacked");
            break;
        case AMQP_BASIC_RETURN_METHOD: {
            amqp_basic_return_t *returned = frame.payload.method.decoded;
            amqp_message_t message;
            say("returned %.*s", (int)returned->reply_text.len, (char *)returned->reply_text.bytes);
            check(amqp_read_message(connection, frame.channel, &message, 0), "a returned message");
            amqp_destroy_message(&message);
        }
        }
    }
}

static void send_confirmed(amqp_connection_state_t connection, const char *key, const char *body) {
    publish_message(connection, key, body, true, persistent());
    await_confirm(connection);
}

static void subscribe(amqp_connection_state_t connection, const char *from, bool no_ack) {
    amqp_basic_qos(connection, 1, 0, 1, false);
    check(amqp_get_rpc_reply(connection), "basic.qos");
    amqp_basic_consume(connection, 1, bytes(from), amqp_empty_bytes, false, no_ack, false, amqp_empty_table);
    check(amqp_get_rpc_reply(connection), "basic.consume");
}

static bool is(amqp_envelope_t *delivery, const char *body) {
    amqp_bytes_t got = delivery->message.body;
    return got.len == strlen(body) && memcmp(got.bytes, body, got.len) == 0;
}

/* The next delivery, or false if the connection is gone. */
static bool next(amqp_connection_state_t connection, amqp_envelope_t *delivery) {
    amqp_maybe_release_buffers(connection);
    return amqp_consume_message(connection, delivery, NULL, 0).reply_type == AMQP_RESPONSE_NORMAL;
}

static void take(amqp_connection_state_t connection, amqp_envelope_t *delivery) {
    if (!next(connection, delivery)) fail("no delivery");
}

static void say_got(amqp_envelope_t *delivery) {
    amqp_bytes_t body = delivery->message.body;
    say("got %.*s %s", (int)body.len, (char *)body.bytes, delivery->redelivered ? "again" : "new");
}

static void ack(amqp_connection_state_t connection, amqp_envelope_t *delivery) {
    if (amqp_basic_ack(connection, 1, delivery->delivery_tag, false) != AMQP_STATUS_OK) fail("basic.ack");
}

static void publish(void) {
    amqp_connection_state_t connection = connect_to_broker();
    declare(connection, queue, true, false, amqp_empty_table);
    confirming(connection);
    for (int number = 1; number <= 3; number++) {
        char body[32];
        snprintf(body, sizeof body, "message %d", number);
        send_confirmed(connection, queue, body);
        say("confirmed %s", body);
    }
    send_confirmed(connection, nobody, "stray");
    close_connection(connection);
}

static void consume(void) {
    amqp_connection_state_t connection = connect_to_broker();
    subscribe(connection, queue, false);
    for (bool last = false; !last;) {
        amqp_envelope_t delivery;
        take(connection, &delivery);
        say_got(&delivery);
        ack(connection, &delivery);
        last = is(&delivery, "message 3");
        amqp_destroy_envelope(&delivery);
    }
    close_connection(connection);
}

static void requeue(void) {
    amqp_connection_state_t connection = connect_to_broker();
    subscribe(connection, queue, false);
    for (bool last = false; !last;) {
        amqp_envelope_t delivery;
        take(connection, &delivery);
        say_got(&delivery);
        last = delivery.redelivered;
        if (last)
            ack(connection, &delivery);
        else if (amqp_basic_nack(connection, 1, delivery.delivery_tag, false, true) != AMQP_STATUS_OK)
            fail("basic.nack");
        amqp_destroy_envelope(&delivery);
    }
    close_connection(connection);
}

static amqp_table_entry_t text_entry(const char *key, const char *value) {
    amqp_table_entry_t entry = {.key = bytes(key)};
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = bytes(value);
    return entry;
}

static amqp_field_value_t *entry_of(amqp_table_t *table, const char *key) {
    for (int i = 0; i < table->num_entries; i++) {
        amqp_bytes_t name = table->entries[i].key;
        if (name.len == strlen(key) && memcmp(name.bytes, key, name.len) == 0) return &table->entries[i].value;
    }
    return NULL;
}

static amqp_bytes_t text_of(amqp_table_t *table, const char *key, const char *otherwise) {
    amqp_field_value_t *value = entry_of(table, key);
    if (value == NULL) return bytes(otherwise);
    if (value->kind != AMQP_FIELD_KIND_UTF8) fail(key);
    return value->value.bytes;
}

static void obituary(amqp_envelope_t *delivery) {
    amqp_field_value_t *deaths = entry_of(&delivery->message.properties.headers, "x-death");
    if (deaths == NULL || deaths->kind != AMQP_FIELD_KIND_ARRAY || deaths->value.array.num_entries == 0)
        fail("no x-death");
    amqp_table_t *death = &deaths->value.array.entries[0].value.table;
    amqp_bytes_t body = delivery->message.body, reason = text_of(death, "reason", ""),
                 from = text_of(death, "queue", ""), expiration = text_of(death, "original-expiration", "none");
    amqp_field_value_t *count = entry_of(death, "count"), *keys = entry_of(death, "routing-keys");
    if (count == NULL || count->kind != AMQP_FIELD_KIND_I64 || keys == NULL || keys->kind != AMQP_FIELD_KIND_ARRAY ||
        keys->value.array.num_entries != 1)
        fail("bad x-death");
    amqp_bytes_t key = keys->value.array.entries[0].value.bytes;
    say("dead %.*s %.*s from %.*s count %lld keys %.*s expiration %.*s", (int)body.len, (char *)body.bytes,
        (int)reason.len, (char *)reason.bytes, (int)from.len, (char *)from.bytes, (long long)count->value.i64,
        (int)key.len, (char *)key.bytes, (int)expiration.len, (char *)expiration.bytes);
}

static void deadletter(void) {
    /* Confirms and deliveries would mix in one connection. */
    amqp_connection_state_t publisher = connect_to_broker(), consumer = connect_to_broker();
    amqp_table_entry_t entries[] = {
        text_entry("x-dead-letter-exchange", ""),
        text_entry("x-dead-letter-routing-key", dead),
    };
    declare(publisher, dead, true, false, amqp_empty_table);
    declare(publisher, queue, true, false, (amqp_table_t){2, entries});
    confirming(publisher);
    send_confirmed(publisher, queue, "spoiled");

    amqp_message_t message;
    amqp_rpc_reply_t reply = amqp_basic_get(consumer, 1, bytes(queue), false);
    check(reply, "basic.get");
    if (reply.reply.id != AMQP_BASIC_GET_OK_METHOD) fail("nothing to get");
    uint64_t tag = ((amqp_basic_get_ok_t *)reply.reply.decoded)->delivery_tag;
    check(amqp_read_message(consumer, 1, &message, 0), "a message got");
    amqp_destroy_message(&message);
    if (amqp_basic_reject(consumer, 1, tag, false) != AMQP_STATUS_OK) fail("basic.reject");

    amqp_envelope_t delivery;
    subscribe(consumer, dead, true);
    take(consumer, &delivery);
    obituary(&delivery);
    amqp_destroy_envelope(&delivery);
    amqp_basic_properties_t mortal = {._flags = AMQP_BASIC_EXPIRATION_FLAG, .expiration = bytes("20")};
    publish_message(publisher, queue, "late", true, mortal);
    await_confirm(publisher);
    take(consumer, &delivery);
    obituary(&delivery);
    amqp_destroy_envelope(&delivery);
    close_connection(consumer);
    close_connection(publisher);
}

static void rpc(void) {
    amqp_connection_state_t server = connect_to_broker(), client = connect_to_broker();
    declare(server, queue, false, true, amqp_empty_table);
    subscribe(server, queue, false);
    subscribe(client, "amq.rabbitmq.reply-to", true);
    const char *words[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++) {
        amqp_basic_properties_t asking = {
            ._flags = AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG,
            .reply_to = bytes("amq.rabbitmq.reply-to"),
            .correlation_id = bytes(words[i]),
        };
        publish_message(client, queue, words[i], false, asking);

        amqp_envelope_t request, reply;
        take(server, &request);
        char answer[32] = {0}, reply_to[256] = {0};
        for (size_t n = 0; n < request.message.body.len && n < sizeof answer - 1; n++)
            answer[n] = (char)toupper(((unsigned char *)request.message.body.bytes)[n]);
        amqp_bytes_t to = request.message.properties.reply_to;
        memcpy(reply_to, to.bytes, to.len < sizeof reply_to ? to.len : sizeof reply_to - 1);
        amqp_basic_properties_t answering = {
            ._flags = AMQP_BASIC_CORRELATION_ID_FLAG,
            .correlation_id = request.message.properties.correlation_id,
        };
        publish_message(server, reply_to, answer, false, answering);
        ack(server, &request);
        amqp_destroy_envelope(&request);

        take(client, &reply);
        amqp_bytes_t id = reply.message.properties.correlation_id, body = reply.message.body;
        say("answer %.*s %.*s", (int)id.len, (char *)id.bytes, (int)body.len, (char *)body.bytes);
        amqp_destroy_envelope(&reply);
    }
    close_connection(client);
    close_connection(server);
}

static void reconnect(void) {
    amqp_connection_state_t connection = connect_to_broker();
    amqp_envelope_t delivery;
    declare(connection, queue, true, false, amqp_empty_table);
    confirming(connection);
    send_confirmed(connection, queue, "message 1");
    send_confirmed(connection, queue, "message 2");
    send_confirmed(connection, queue, "message 3");
    say("confirmed");
    subscribe(connection, queue, false);
    take(connection, &delivery);
    say("holding %.*s", (int)delivery.message.body.len, (char *)delivery.message.body.bytes);
    amqp_destroy_envelope(&delivery);
    if (next(connection, &delivery)) fail("a second delivery before the first one's ack");
    say("lost");
    amqp_destroy_connection(connection);

    connection = connect_to_broker();
    amqp_connection_state_t publisher = connect_to_broker();
    confirming(publisher);
    subscribe(connection, queue, false);
    for (bool last = false; !last;) {
        take(connection, &delivery);
        say_got(&delivery);
        ack(connection, &delivery);
        if (is(&delivery, "message 3")) {
            send_confirmed(publisher, queue, "message 4");
            say("confirmed message 4");
        }
        last = is(&delivery, "message 4");
        amqp_destroy_envelope(&delivery);
    }
    close_connection(connection);
    close_connection(publisher);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } steps[] = {{"publish", publish},       {"consume", consume}, {"requeue", requeue},
                 {"deadletter", deadletter}, {"rpc", rpc},         {"reconnect", reconnect}};
    if (argc != 4) fail("usage: rabbitmq_c_client URL STEP QUEUE");
    url = argv[1];
    queue = argv[3];
    snprintf(dead, sizeof dead, "%s.dead", queue);
    snprintf(nobody, sizeof nobody, "%s.nobody", queue);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (strcmp(steps[i].name, argv[2]) == 0) {
            steps[i].run();
            return 0;
        }
    fail("no such step");
}
