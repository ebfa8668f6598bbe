# ucoder on one machine with NVIDIA GPUs: sampling with vLLM, training with TRL.
#
#   docker build --build-arg UID="$(id -u)" -t ucoder .
#   docker run --rm -it --gpus all --shm-size 8g \
#       --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
#       --security-opt systempaths=unconfined \
#       -v "$PWD:/work" -v ucoder-cache:/home/ucoder/.cache ucoder doctor
#
# and then `... ucoder run examples/gpu.yaml -o runs/gpu` in place of `... ucoder doctor`.
#
# The three security options let bubblewrap make user namespaces and mount /proc inside the
# container; Docker's defaults forbid both. They replace Docker's filters by the sandbox's own, which
# every program of a model gets, and need neither --privileged nor root. Without them ucoder falls
# back to Landlock, which holds a little less; `ucoder doctor` says which one is used. On a host whose
# kernel restricts user namespaces (Ubuntu 24.04: the sysctl
# kernel.apparmor_restrict_unprivileged_userns), allow them there, or use Landlock.
#
# --shm-size is for several GPUs that share one model. The cache volume keeps downloaded weights.
# The image has not been built on a GPU machine yet; a test checks this file as far as it can.

FROM python:3.12-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# The CUDA libraries come with PyTorch's wheel; the base image adds what the driver expects.
FROM nvidia/cuda:12.9.1-runtime-ubuntu24.04
ENV DEBIAN_FRONTEND=noninteractive \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/ucoder/bin:$PATH
# gcc and Python's headers: Triton compiles kernels when they are first used.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        bubblewrap ca-certificates gcc libc6-dev python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY --from=wheel /wheels /wheels
RUN python3 -m venv /opt/ucoder \
    && pip install --no-cache-dir "$(ls /wheels/ucoder-*.whl)[vllm,train,eval,report]"

# Nothing runs as root. The user's number is that of the person who owns the mounted folder.
ARG UID=1000
RUN (userdel --remove ubuntu || true) \
    && useradd --create-home --non-unique --uid "$UID" ucoder \
    && mkdir -p /home/ucoder/.cache /work \
    && chown ucoder: /home/ucoder/.cache /work
USER ucoder
WORKDIR /work
ENTRYPOINT ["ucoder"]
CMD ["doctor"]
