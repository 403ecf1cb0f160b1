# The server as an image: `docker build -t agi-lookup .`, then see packaging/docker/docker-compose.yml and docs/install.md.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock ./
RUN pip wheel --no-cache-dir --require-hashes --no-deps -r requirements.lock -w /wheels
COPY pyproject.toml README.md LICENSE ./
COPY agi_lookup ./agi_lookup
# From the wheels alone, whose hashes were compared; what only the build needs stays here.
RUN pip wheel --no-cache-dir --no-index --find-links /wheels --no-deps -w /ours . \
    && python -m venv --without-pip /opt/agi-lookup \
    && pip --python /opt/agi-lookup/bin/python install --no-cache-dir --no-index --find-links /wheels /ours/*.whl

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 990 --home-dir /var/lib/agi-lookup --shell /usr/sbin/nologin agi-lookup \
    && install -d -o agi-lookup -g agi-lookup -m 0700 /var/lib/agi-lookup
COPY --from=build /opt/agi-lookup /opt/agi-lookup
COPY packaging/deb/agi-lookup.yaml /etc/agi-lookup/agi-lookup.yaml
COPY dialplan /usr/share/agi-lookup/asterisk
ENV PATH=/opt/agi-lookup/bin:$PATH
USER agi-lookup
VOLUME /var/lib/agi-lookup
EXPOSE 4573 8573
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8573/healthz', timeout=3)"]
ENTRYPOINT ["agi-lookup"]
CMD ["serve"]
