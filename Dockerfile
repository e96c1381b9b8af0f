# The operator's image: an environment made from the lock file, on a slim Python, for a user without rights.
#   docker build --tag ghcr.io/ftl-tools/ftl-operator:0.1.0 .
# Everything that is downloaded has a digest here: the base image in its line (another one with Python 3.11 and its venv
# module may stand for it, as in `make image`), uv in scripts/uv.txt, the packages in uv.lock.
# A newer base: docker buildx imagetools inspect python:3.11-slim-bookworm

ARG BASE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
FROM ${BASE} AS build
WORKDIR /src
COPY scripts/uv.txt ./
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir --require-hashes --only-binary :all: --requirement uv.txt
ENV UV_PROJECT_ENVIRONMENT=/opt/ftl-operator UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock README.md LICENSE ./
# The dependencies alone first: this layer is kept until the lock file changes.
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-install-project
COPY ftl_operator ftl_operator
# The client's asynchronous twin is a third of the image, and nobody imports it; uv's lock could be written by anybody.
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-editable && rm -r /opt/ftl-operator/lib/python3.11/site-packages/kubernetes/aio /opt/ftl-operator/.lock

FROM ${BASE}
LABEL org.opencontainers.image.title="ftl-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/ftl-tools/ftl-operator"
COPY --from=build /opt/ftl-operator /opt/ftl-operator
ENV PATH=/opt/ftl-operator/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# The chart mounts something writable at both; nothing else is written to.
ENV HOME=/tmp XDG_CACHE_HOME=/cache
WORKDIR /
USER 65532:65532
EXPOSE 9090
CMD ["python", "-m", "ftl_operator"]
