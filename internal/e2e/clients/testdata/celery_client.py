"""Calls the tasks of celery_tasks.py and prints what they say.

usage: celery_client.py STEP [PATH]
"""
import sys
import time

from celery import chain, chord, group
from celery.exceptions import TaskRevokedError

from celery_tasks import add, app, broken, flaky, total, wait_for_file

PATIENCE = 25
step = sys.argv[1]


def say(*words):
    print(*words, flush=True)


def result(task):
    return task.get(timeout=PATIENCE)


def task():
    say('add', result(add.delay(2, 3)))
    say('group', result(group([add.s(n, n) for n in range(5)])()))
    say('chain', result(chain(add.s(1, 2), add.s(3), add.s(4))()))
    failed = broken.delay()
    say('broken', repr(failed.get(timeout=PATIENCE, propagate=False)))


def retry():
    outcome = result(flaky.delay(time.time()))
    say('retries', outcome['retries'], 'early', outcome['early'])
    start = time.time()
    result(add.apply_async((1, 1), countdown=0.5))
    say('countdown', 'early' if time.time() < start + 0.5 else 'kept')


def chords():
    say('chord', result(chord([add.s(n, n) for n in range(10)])(total.s())))


def control():
    """Broadcasts over a fanout exchange, answered to a queue of the asker's."""
    queue = app.conf.task_default_queue
    worker = 'celery@' + queue
    say('pong', [answer[worker]['ok'] for answer in app.control.ping([worker], timeout=3, limit=1)])
    queues = app.control.inspect([worker], timeout=3, limit=1).active_queues()
    say('queues', [each['name'] == queue for each in queues[worker]])
    later = add.apply_async((1, 1), countdown=1.5)
    later.revoke(wait=True, timeout=1)
    try:
        say('revoked', result(later))
    except TaskRevokedError:
        say('revoked')


def restart():
    """One task is in the worker's hands and more wait when the broker is killed."""
    held = wait_for_file.delay(sys.argv[2])
    waiting = [add.delay(n, 1) for n in range(5)]
    say('sent')
    input()  # until the broker is back
    say('held', result(held))
    say('waiting', [result(each) for each in waiting])
    say('after', result(add.delay(40, 2)))


{'task': task, 'retry': retry, 'chord': chords, 'control': control, 'restart': restart}[step]()
