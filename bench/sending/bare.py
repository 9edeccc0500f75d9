"""What a worker is compared with: one kept connection, ready-made bytes, smtplib and nothing else.

`python -m sending.bare COUNT FILE` connects to the server that the environment names, waits for a line, and sends the
file so many times.
"""

import os
import smtplib
import ssl
import sys
from pathlib import Path


def main():
    count, mail, given = int(sys.argv[1]), Path(sys.argv[2]).read_bytes(), os.environ
    with smtplib.SMTP(given["SMTP_HOST"], int(given["SMTP_PORT"]), local_hostname="localhost", timeout=15) as smtp:
        if given["SMTP_TLS"] == "starttls":
            smtp.starttls(context=ssl.create_default_context())
        smtp.ehlo()
        if "SMTP_USER" in given:
            smtp.login(given["SMTP_USER"], given["SMTP_PASSWORD"])
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(count):
            smtp.sendmail("no-reply@bench.example", ["grace@home.example"], mail)


if __name__ == "__main__":
    main()
