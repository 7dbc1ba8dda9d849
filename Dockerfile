# Leveret in a container: one static binary and nothing else.
#
#   docker build -t leveret --build-arg VERSION=$(git describe --tags --always) .
#   docker run -d --name leveret -p 5672:5672 -p 15672:15672 -p 15692:15692 \
#     -v leveret:/data -e LEVERET_DEFAULT_USER=admin -e LEVERET_DEFAULT_PASS=… leveret
#
# guest may come from the container itself only, so name another first user, as above.
# Any option can be set as LEVERET_…, or in a file: -e LEVERET_CONFIG=/etc/leveret.toml.

FROM node:22-trixie-slim AS ui
WORKDIR /src/ui
COPY ui/package.json ui/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY ui ./
RUN npm run --silent check && npm run --silent build

FROM golang:1.26-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=ui /src/httpd/page/dist ./httpd/page/dist
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/bin/leveret ./cmd/leveret \
 && ln -s leveret /out/bin/rabbitmqctl && ln -s leveret /out/bin/rabbitmq-diagnostics \
 && install -d -m 700 /out/data

FROM scratch
COPY --from=build /out/bin /bin
COPY --from=build --chown=10001:10001 /out/data /data
COPY LICENSE /LICENSE
USER 10001:10001
ENV PATH=/bin \
    LEVERET_DATA_DIR=/data \
    LEVERET_HTTP_ADDR=:15672 \
    LEVERET_METRICS_ADDR=:15692
VOLUME /data
EXPOSE 5672 5671 15672 15692
# A recovery that takes long is no failure: the ports answer, and health says "starting".
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/bin/leveret", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/bin/leveret"]
CMD ["serve"]
