# One image for workers, for the Prefect server and for what runs in a Docker or Kubernetes work pool. From the root of the repository:
#
#   docker build --tag prefect-seedance .
#
# What pip needs to know of a package index of your own (passwords included) goes in as a secret, of which nothing stays in the
# image: --secret id=pip.conf,src=$HOME/.config/pip/pip.conf
ARG BASE_IMAGE=python:3.11-slim-bookworm

# A bare Debian does as a base too: it gets the Python of its own release.
FROM ${BASE_IMAGE} AS python
RUN command -v python3 > /dev/null \
    || (apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3 && rm -rf /var/lib/apt/lists/*)

FROM python AS build
RUN python3 -c "import ensurepip" 2> /dev/null \
    || (apt-get update && apt-get install --yes --no-install-recommends python3-venv)
# Extras of pyproject.toml; each pool needs its own, and a server on Redis `redis`.
ARG EXTRAS=aws,redis,docker,kubernetes,warehouse
WORKDIR /build
COPY . .
# Isolated builds take no constraints, so hatchling comes from constraints.txt into an environment that is thrown away.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv /wheel \
    && /wheel/bin/pip install --no-cache-dir --constraint constraints.txt hatchling \
    && /wheel/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
    && python3 -m venv /opt/seedance \
    && /opt/seedance/bin/pip install --no-cache-dir --constraint constraints.txt "$(ls /wheel/*.whl)[${EXTRAS}]" \
    && /opt/seedance/bin/pip uninstall --yes pip setuptools

FROM python
# What should outlive a container lies in its home, results and what a store did not take: mount a volume there.
RUN useradd --uid 10001 --create-home seedance
COPY --from=build /opt/seedance /opt/seedance
ENV PATH=/opt/seedance/bin:$PATH PYTHONUNBUFFERED=1
# By number, or Kubernetes can't see that it is not root.
USER 10001
WORKDIR /home/seedance
HEALTHCHECK --interval=120s --timeout=30s --start-period=10s CMD ["prefect-seedance", "--version"]
CMD ["prefect-seedance", "--help"]
