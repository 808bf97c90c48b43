# The image of tigr-monitor: `make image` builds it. The last stage is the monitor; `--target demo` builds the demo.

# A tag may get new content. To pin the content, give the digest: make image PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /opt/tigr-monitor \
    && pip --python /opt/tigr-monitor/bin/python install --no-cache-dir --no-deps --require-hashes \
        -r requirements/runtime.txt \
    && pip install --no-cache-dir --no-deps --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE THIRD-PARTY.txt ./
COPY monitor monitor
# The tools that build the wheel are not installed in the environment that runs it.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/tigr-monitor/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM build AS build-demo
COPY requirements/demo.txt requirements/
RUN pip --python /opt/tigr-monitor/bin/python install --no-cache-dir --no-deps --require-hashes -r requirements/demo.txt

FROM ${PYTHON_IMAGE} AS base
ARG PYTHON_IMAGE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tigr-monitor" \
    org.opencontainers.image.description="Watches the TIGR Registry Client API for Prometheus" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="$PYTHON_IMAGE" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
# Without pip, an attacker in the container has no tool to install packages.
RUN pip uninstall --yes --quiet --root-user-action=ignore pip \
    && install -d -o 65532 -g 65532 -m 700 /var/lib/tigr-monitor
ENV PATH=/opt/tigr-monitor/bin:$PATH \
    MALLOC_ARENA_MAX=1 \
    TIGR_LISTEN=:9844 \
    TIGR_STATE_DIR=/var/lib/tigr-monitor
# Contains the count of rejected logins. Use a named volume, or a new container starts without that count.
VOLUME /var/lib/tigr-monitor
# A number, because Kubernetes cannot verify that a user name is not root.
USER 65532:65532
EXPOSE 9844
# It uses the control socket in the state directory, so it needs no password.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["tigr-monitor", "health"]
ENTRYPOINT ["tigr-monitor"]

FROM base AS demo
COPY --from=build-demo /opt/tigr-monitor /opt/tigr-monitor
CMD ["demo", "--listen", ":9844"]

FROM base AS monitor
COPY --from=build /opt/tigr-monitor /opt/tigr-monitor
CMD ["run"]
