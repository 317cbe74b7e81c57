# The image of every henji service: `docker build --tag henji .`
# Build arguments come first, so that both stages use the same interpreter.
ARG PYTHON=3.12
# Not the slim image: this one has the C compiler, which makes the learners faster. It does not ship.
FROM python:${PYTHON}-bookworm AS build

WORKDIR /src
COPY requirements/run.lock requirements/build.lock requirements/
# Two environments: /app goes into the image, the other one can build a wheel. Only wheels, only what the lock names.
RUN ["python", "-m", "venv", "/app"]
RUN ["/app/bin/python", "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--require-hashes", "--only-binary=:all:", "--requirement", "requirements/run.lock"]
RUN ["python", "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--root-user-action=ignore", "--require-hashes", "--only-binary=:all:", "--requirement", "requirements/build.lock"]
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY engine engine
COPY models models
COPY streams streams
RUN ["python", "-m", "pip", "wheel", "--no-cache-dir", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--wheel-dir", "/wheels", "."]
RUN ["/app/bin/python", "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--no-deps", "--no-index", "--find-links", "/wheels", "henji"]

# Where the console keeps its accounts: a volume that is mounted here gets the folder's owner.
RUN ["install", "--directory", "--mode=0700", "/state"]

FROM python:${PYTHON}-slim-bookworm

LABEL org.opencontainers.image.title="henji" \
      org.opencontainers.image.description="Live risk flags for customers who are still on the line" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /app /app
COPY --from=build --chown=10001:10001 /state /var/lib/henji
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# Nobody's number: it owns no file of the image, and nothing in it is written at run time.
USER 10001:10001
# A henji.toml that is mounted here is read.
WORKDIR /etc/henji
EXPOSE 6067 6068 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["henji"]
CMD ["worker"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "streams.live.probe", "http://127.0.0.1:6067/live"]
