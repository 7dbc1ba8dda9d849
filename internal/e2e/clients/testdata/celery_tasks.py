"""Tasks of a Celery worker. CELERY_BROKER and CELERY_BACKEND say where it finds its
queues and where results go; CELERY_QUEUE is the queue of the tasks.
"""
import os
import time

from celery import Celery
from celery.signals import worker_ready

app = Celery('tasks', broker=os.environ['CELERY_BROKER'], backend=os.environ['CELERY_BACKEND'])
app.conf.update(
    task_default_queue=os.environ['CELERY_QUEUE'],
    task_default_delivery_mode='persistent',
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    worker_redirect_stdouts=False,
    broker_transport_options={'confirm_publish': True},
)


@worker_ready.connect
def ready(**_):
    """The worker has subscribed."""
    print('ready', flush=True)


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def flaky(self, started):
    """Fails twice, and is tried again half a second later each time."""
    if self.request.retries < 2:
        raise self.retry(countdown=0.5, exc=RuntimeError('not yet'))
    return {'retries': self.request.retries, 'early': time.time() < started + 1.0}


@app.task
def broken():
    raise ValueError('broken for good')


@app.task(acks_late=True)
def wait_for_file(path):
    """A task in hand for as long as the test wants; tried again if its worker loses it."""
    while not os.path.exists(path):
        time.sleep(0.02)
    return 'found'
