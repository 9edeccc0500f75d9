"""What a worker is compared with: one kept connection, ready-made bytes, smtplib and nothing else.

`python -m sending.bare PORT COUNT FILE` connects, waits for a line, and sends the file so many times.
"""

import smtplib
import sys
from pathlib import Path


def main():
    port, count, mail = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]).read_bytes()
    with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost", timeout=15) as smtp:
        smtp.ehlo()
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(count):
            smtp.sendmail("no-reply@bench.example", ["grace@home.example"], mail)


if __name__ == "__main__":
    main()
