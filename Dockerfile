# docker build -t ebmnist .
# docker run --rm -v "$PWD/runs:/work/runs" ebmnist run mnist
# The image computes on the CPU. The folder that is mounted has to be writable for user 1000.

FROM python:3.11-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/ebmnist
ENV PATH=/opt/ebmnist/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
WORKDIR /src
COPY requirements.txt ./
# The packages change less often than the code, so they are a layer of their own.
RUN grep -v '^-e' requirements.txt > pinned.txt && pip install -r pinned.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
# This compiles the C++ for each level of instructions; the processor at hand chooses among them later.
RUN pip install --no-deps .

# The compiler stays behind.
FROM python:3.11-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 ebmnist \
    && install -d -o ebmnist -g ebmnist /work /work/runs
COPY --from=build /opt/ebmnist /opt/ebmnist
ENV PATH=/opt/ebmnist/bin:$PATH
USER ebmnist
WORKDIR /work
ENTRYPOINT ["ebmnist"]
CMD ["--help"]
