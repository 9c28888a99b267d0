# docker build -t ssvae . && docker run --rm -v "$PWD/outputs:/ssvae/outputs" ssvae train prior=infonce
# --build-arg TORCH=INDEX takes torch from the index that its installation page names for CPUs, or for a version of CUDA.
FROM python:3.12-slim
ARG TORCH=""
COPY . /src
# torch and torchvision from one index: a mixture of builds fails at import.
RUN pip install --no-cache-dir ${TORCH:+--index-url "$TORCH"} torch torchvision \
 && pip install --no-cache-dir /src
WORKDIR /ssvae
ENTRYPOINT ["ssvae"]
CMD ["--help"]
