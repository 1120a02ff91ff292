# signseq serve, for CPUs: the versions of requirements.txt, no compiler, no root.
#
#   make page && docker build -t signseq .
#   docker run -p 8000:8000 -v "$PWD/checkpoints/demo:/models/demo:ro" signseq
#
# For a GPU, replace TORCH_INDEX by one of https://pytorch.org's and run with --gpus all.
FROM python:3.11-slim AS build

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/signseq
ENV PATH=/opt/signseq/bin:$PATH
WORKDIR /src

# The packages first: they change less often than the code.
COPY requirements.txt ./
RUN pip install --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.txt)"
COPY pyproject.toml README.md LICENSE ./
COPY configs ./configs
COPY src ./src
RUN pip install -c requirements.txt ".[serve,zstd]"

FROM python:3.11-slim

RUN useradd --system --uid 10001 --create-home signseq
COPY --from=build /opt/signseq /opt/signseq
ENV PATH=/opt/signseq/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    MALLOC_ARENA_MAX=2 \
    TOKENIZERS_PARALLELISM=false
USER signseq
WORKDIR /home/signseq
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"
ENTRYPOINT ["signseq", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["/models/demo"]
