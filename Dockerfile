# docker build -t ssvae . && docker run --rm -v "$PWD/outputs:/work/outputs" ssvae train prior=infonce
# With --build-arg TORCH=https://download.pytorch.org/whl/cu128 (any index of torch's) the image computes on GPUs.
FROM python:3.12-slim
ARG TORCH=https://download.pytorch.org/whl/cpu
COPY . /src
# torch and torchvision from one index: a mixture of builds fails at import.
RUN pip install --no-cache-dir --index-url "$TORCH" torch torchvision \
 && pip install --no-cache-dir /src
WORKDIR /work
ENTRYPOINT ["ssvae"]
CMD ["--help"]
