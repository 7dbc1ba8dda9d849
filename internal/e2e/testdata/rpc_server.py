"""Answer each request with the square of its number. The request "quit" ends it.

usage: rpc_server.py URL QUEUE
"""
import sys

import pika

url, queue = sys.argv[1:3]

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue=queue)


def on_request(ch, method, properties, body):
    ch.basic_ack(delivery_tag=method.delivery_tag)
    if body == b'quit':
        ch.stop_consuming()
        return
    number = int(body)
    ch.basic_publish(
        exchange='',
        routing_key=properties.reply_to,
        properties=pika.BasicProperties(correlation_id=properties.correlation_id),
        body=str(number * number))


channel.basic_qos(prefetch_count=1)
channel.basic_consume(queue=queue, on_message_callback=on_request)
print('waiting for requests', flush=True)
channel.start_consuming()
channel.queue_delete(queue=queue)
connection.close()
