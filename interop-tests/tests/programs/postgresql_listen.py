"""Waits for notifications on the channel `news` and prints each, until one says enough."""

import select
import sys

import psycopg2

connection = psycopg2.connect(host="127.0.0.1", port=sys.argv[1], user="postgres", dbname="postgres")
connection.autocommit = True
connection.cursor().execute("LISTEN news")
print("listening", flush=True)
while True:
    select.select([connection], [], [])
    connection.poll()
    while connection.notifies:
        payload = connection.notifies.pop(0).payload
        print(payload, flush=True)
        if payload == "enough":
            sys.exit()
