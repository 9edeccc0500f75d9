# One image: `gunicorn` (the default), `flask worker`, `flask cron`, and every other `flask` command.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS packages
ARG PYTHON
# For strip; any version of it will do, and nothing of it stays.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements.txt .
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --require-hashes --no-cache-dir --no-compile --no-input -r requirements.txt
# What libraries bring along and we never load: an asynchronous client of Twilio, a maker of pages beside Redoc's files,
# other services of AWS, other products of Twilio, people of other languages, kinds of pictures and fonts that no label
# has, a second client of Redis, other databases, what libraries test themselves with, a second copy of Swagger UI, symbols for
# debuggers. The commands further down, which use these libraries, fail when a new release of one needs more.
WORKDIR /opt/venv/lib/python${PYTHON}/site-packages
RUN pip --python /opt/venv/bin/python uninstall --yes \
      aiohttp aiohttp-retry aiosignal frozenlist multidict propcache yarl flask-openapi pydantic pydantic-core valkey \
 && find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name sns -exec rm -r {} + \
 && find twilio/rest -mindepth 1 -maxdepth 1 -type d ! -name api -exec rm -r {} + \
 && find faker/providers -mindepth 2 -maxdepth 2 -type d ! -name en ! -name 'en_[GU]?' ! -name la -exec rm -r {} + \
 && rm -r boto3/data boto3/examples sqlalchemy/testing sqlalchemy/dialects/mssql sqlalchemy/dialects/mysql sqlalchemy/dialects/oracle \
      alembic/testing babel/messages flask_swagger_ui/dist/swagger-ui.js flask_swagger_ui/dist/swagger-ui-standalone-preset.js \
      reportlab/graphics/widgets \
 && rm -r reportlab/fonts/* reportlab/graphics/samples PIL/_avif.* PIL/_webp.* PIL/_imagingft.* PIL/_imagingcms.* PIL/_imagingtk.* \
      pillow.libs/libavif-* pillow.libs/libharfbuzz-* pillow.libs/libfreetype-* pillow.libs/libwebp* pillow.libs/libsharpyuv-* \
      pillow.libs/liblcms2-* pillow.libs/libpng16-* pillow.libs/libbrotli* \
 && find . /usr/local/lib -name '*.so' -exec strip --strip-unneeded {} + \
 && strip --strip-unneeded /usr/local/lib/libpython*.so.1.0

# A catcher of mail for development: prints what it gets.
FROM python:${PYTHON}-slim AS mail
WORKDIR /build
COPY requirements-dev.txt .
RUN awk '/^[a-z]/ { wanted = /^(aiosmtpd|atpublic|attrs)==/ } wanted' requirements-dev.txt > requirements.txt \
 && pip install --require-hashes --no-cache-dir --no-input -r requirements.txt
USER 10001:10001
CMD ["python", "-u", "-m", "aiosmtpd", "-n", "-l", "0.0.0.0:1025", "-c", "aiosmtpd.handlers.Debugging", "stdout"]

# What looks into the queues (`--profile dashboard`), with packages of its own.
FROM python:${PYTHON}-slim AS dashboard
WORKDIR /build
COPY requirements-dashboard.txt .
RUN pip install --require-hashes --no-cache-dir --no-input -r requirements-dashboard.txt
COPY scripts/dashboard /usr/local/bin/dashboard
USER 10001:10001
CMD ["dashboard"]

FROM python:${PYTHON}-slim AS system
ARG PYTHON
WORKDIR /usr/local/lib/python${PYTHON}
RUN groupadd --gid 10001 delivery \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin delivery \
 && install -d -o delivery -g delivery -m 0700 /data \
 && pip uninstall --yes --no-cache-dir pip \
 && dpkg --purge --force-remove-essential --force-depends apt libapt-pkg6.0 libapt-pkg7.0 perl-base sqv \
 && rm -rf /usr/lib/*-linux-gnu/gconv /var/lib/apt /var/cache/* /var/log/* \
 && rm -rf ensurepip idlelib pydoc_data tkinter turtledemo config-* /usr/local/include /usr/local/share
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /usr/local/lib/libpython* /usr/local/lib/
COPY . .
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin FLASK_APP=wsgi:app
# Each way in is taken once: it proves that nothing is missing, and leaves the byte code that a read-only root cannot keep.
RUN export DATA_DIR=/tmp/data \
 && flask db upgrade \
 && flask users seed --count 1 --yes >/dev/null \
 && flask worker --help >/dev/null \
 && gunicorn --check-config \
 && python -c "from delivery.deliveries import labels; labels.draw([], size='a6', company='', base_url='')" \
 && python -c "import boto3, twilio.rest; boto3.client('sns', region_name='us-east-1'); twilio.rest.Client('a', 'b').messages" \
 && DATABASE_URL=postgresql://nobody@localhost/none flask routes >/dev/null \
 && rm -r /tmp/data

FROM scratch
# In one layer, so that what was removed above takes no room.
# hadolint ignore=DL3067
COPY --from=system / /
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    FLASK_APP=wsgi:app \
    HOST=0.0.0.0 \
    DATA_DIR=/data \
    ALIVE_DIR=/tmp/alive
WORKDIR /app
USER 10001:10001
VOLUME /data
EXPOSE 8000
CMD ["gunicorn"]
# The commit; GIT_REVISION tells it to /metrics and `flask ops status`.
ARG REVISION=
ENV GIT_REVISION=${REVISION}
LABEL org.opencontainers.image.title=delivery org.opencontainers.image.licenses=MIT org.opencontainers.image.revision=${REVISION}
