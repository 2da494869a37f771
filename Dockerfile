# Freshet: one image, the role by command (docs/DEPLOY.md).
#
#   docker build --tag freshet .                                       torch as it is published, with CUDA: gigabytes
#   docker build --tag freshet --build-arg TORCH_INDEX=URL .           torch without CUDA, from PyTorch's index for CPUs
#
# It keeps to what every BuildKit's own front end reads: no here-document and no `--link`, so no `# syntax` line, whose
# front end would be downloaded as whatever is newest.
#
# Stages go from what changes seldom (torch) to what changes with each commit (Freshet), and the layers of the last stage
# do likewise: a commit costs one layer of a few hundred kilobytes.

# A tag moves with security fixes; to build on the same bytes each time, name it by its digest (docs/DEPLOY.md).
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/freshet
WORKDIR /build

FROM venv AS torch
# The index that a CPU-only torch comes from; pytorch.org names it ("Get started": Pip, CPU). Empty: the usual one.
ARG TORCH_INDEX=""
# Optional: the SHA-256 of the wheel that is taken from there. Its version is pinned without it.
ARG TORCH_SHA256=""
COPY deploy/locks/torch.lock ./
# The mount keeps what was downloaded out of the layer, and for the next build.
# Wheels for CPUs are other files than those of the lock: the version is the lock's, the hash whoever builds knows.
RUN --mount=type=cache,target=/root/.cache/pip \
    set -eu; \
    if [ -z "$TORCH_INDEX" ]; then \
      pip --python /opt/freshet install --no-deps --require-hashes --requirement torch.lock; \
    else \
      sed -n 's/^\(torch==[^ ;]*\).*/\1/p' torch.lock >cpu.lock; \
      [ -z "$TORCH_SHA256" ] || sed -i "s/\$/ --hash=sha256:$TORCH_SHA256/" cpu.lock; \
      pip --python /opt/freshet install --no-deps --only-binary :all: --index-url "$TORCH_INDEX" --requirement cpu.lock; \
    fi; \
    # Headers and static libraries are for compilers, of which the image has none.
    rm -rf /opt/freshet/lib/python3*/site-packages/torch/include; \
    find /opt/freshet -name '*.a' -delete

FROM venv AS packages
COPY deploy/locks/packages.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/freshet install --no-deps --require-hashes --requirement packages.lock \
 # Their own tests, a fifth of the layer, test nothing here.
 && cd /opt/freshet/lib/python3*/site-packages \
 && find numpy scipy sympy networkx mpmath -type d -name tests -prune -exec rm -rf {} + \
 && find . -name '*.a' -delete

FROM venv AS code
COPY deploy/locks/build.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv build && pip --python build install --no-deps --require-hashes --requirement build.lock
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN pip --python build wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && pip --python /opt/freshet install --no-deps --no-index dist/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Freshet" \
      org.opencontainers.image.description="Keeps a PyTorch model current with its Kafka stream" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 freshet \
 && useradd --uid 10001 --gid freshet --no-create-home --home-dir /tmp --shell /usr/sbin/nologin freshet \
 && install -d -o freshet -g freshet /var/lib/freshet /var/lib/freshet/store /var/lib/freshet/state \
 && install -d /etc/freshet
COPY --from=torch /opt/freshet /opt/freshet
COPY --from=packages /opt/freshet /opt/freshet
COPY --from=code /opt/freshet /opt/freshet
# Inside of a container an address is reached by whom the container's network lets in; what is published decides that.
# The environment goes before the mounted file, so the health check and the volumes find what they look for.
ENV PATH=/opt/freshet/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FRESHET_CONFIG=/etc/freshet/freshet.yaml \
    FRESHET_STORE__PATH=/var/lib/freshet/store \
    FRESHET_TRAINER__STATE_PATH=/var/lib/freshet/state \
    FRESHET_TRAINER__HOST=0.0.0.0 \
    FRESHET_TRAINER__PORT=8001 \
    FRESHET_SERVE__HOST=0.0.0.0 \
    FRESHET_SERVE__PORT=8000
WORKDIR /var/lib/freshet
USER 10001:10001
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=5 CMD ["python", "-m", "service.health"]
ENTRYPOINT ["freshet"]
CMD ["--help"]
