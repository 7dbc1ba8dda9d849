"""Ask for the squares of COUNT numbers from FIRST on, all at once, then print the answers
as they come, each beside the number that its correlation id stands for.

usage: rpc_client.py URL QUEUE FIRST COUNT
"""
import sys
import uuid

import pika

url, queue, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


class SquareClient:
    def __init__(self):
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.callback_queue = self.channel.queue_declare(queue='', exclusive=True).method.queue
        self.channel.basic_consume(
            queue=self.callback_queue, on_message_callback=self.on_response, auto_ack=True)
        self.asked = {}

    def on_response(self, ch, method, properties, body):
        number = self.asked.pop(properties.correlation_id)
        print('square', number, int(body), flush=True)

    def call(self, number):
        correlation_id = str(uuid.uuid4())
        self.asked[correlation_id] = number
        self.channel.basic_publish(
            exchange='',
            routing_key=queue,
            properties=pika.BasicProperties(
                reply_to=self.callback_queue, correlation_id=correlation_id),
            body=str(number))


client = SquareClient()
for number in range(first, first + count):
    client.call(number)
while client.asked:
    client.connection.process_data_events(time_limit=None)
client.connection.close()
