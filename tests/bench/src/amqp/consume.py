"""A consumer as people write it in Python: pika's blocking connection, one message at a time."""

import json
import signal
import sys

import pika

url, queue, prefetch, exchange = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
incoming = pika.BlockingConnection(pika.URLParameters(url))
channel = incoming.channel()
channel.basic_qos(prefetch_count=prefetch)
outgoing = None
if exchange:
    outgoing = pika.BlockingConnection(pika.URLParameters(url)).channel()
    outgoing.confirm_delivery()
properties = pika.BasicProperties(delivery_mode=2, content_type="application/json")


def on_message(channel, method, _properties, body):
    if outgoing is not None:
        reading = json.loads(body)
        if not reading["m"] or reading["t"] < 1_000_000_000 or reading["v"] > 1_000_000:
            raise ValueError("out of range")
        told = {"meter": reading["m"], "at_s": reading["t"], "wh": reading["v"], "score": 0.0}
        outgoing.basic_publish(exchange, reading["m"], json.dumps(told), properties, mandatory=True)
    channel.basic_ack(method.delivery_tag)


def stop(*_):
    incoming.add_callback_threadsafe(channel.stop_consuming)


signal.signal(signal.SIGTERM, stop)
channel.basic_consume(queue, on_message)
channel.start_consuming()
incoming.close()
