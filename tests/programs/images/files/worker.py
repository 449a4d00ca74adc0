"""Takes jobs from beanstalkd for ever, and says so."""
import socket
import time

while True:
    try:
        with socket.create_connection(("queue", 11300), timeout=5) as connection:
            connection.sendall(b"stats\r\n")
            print("asked the queue:", connection.recv(64)[:2], flush=True)
    except OSError as error:
        print("no queue:", error, flush=True)
    time.sleep(1)
