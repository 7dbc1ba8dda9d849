"""Logs in over TLS with a certificate and passes a message: HOST PORT CA CERT KEY SIZE FILE,
and another when the file is there."""
import os
import ssl
import sys

import pika
import pika.credentials

host, port, ca, cert, key, size, file = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
connection = pika.BlockingConnection(pika.ConnectionParameters(
    host, int(port), credentials=pika.credentials.ExternalCredentials(),
    ssl_options=pika.SSLOptions(context, "localhost")))
channel = connection.channel()
channel.confirm_delivery()
queue = channel.queue_declare("", exclusive=True).method.queue
channel.basic_publish("", queue, b"x" * int(size), mandatory=True)
_, _, body = channel.basic_get(queue, auto_ack=True)
print("received", len(body), flush=True)
# The connection outlives what happens to the certificates.
while not os.path.exists(file):
    connection.sleep(0.01)
channel.basic_publish("", queue, b"again", mandatory=True)
print("received", channel.basic_get(queue, auto_ack=True)[2].decode(), flush=True)
connection.close()
