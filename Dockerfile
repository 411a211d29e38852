# An image with one static binary, the public authorities' certificates and nothing else: no shell, no
# package manager, no user but 65532, nothing that it has to write outside of /data, /run/tierd and /tmp.
#
#   make image                                  without a container engine, and the same bytes each time
#   docker build --build-arg VERSION=0.1.0 -t tierd .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp -v tierd:/data \
#     -p 2379:2379 -e TIERD_HOT_TIER -e TIERD_OBJECT_TIER -e TIERD_CERT_FILE=... tierd
#
# It serves no Redis of its own (there is no redis-server in it): give it TIERD_HOT_TIER.
#
# scripts/image carries out this very file: keep to what it knows (it names what it does not).
ARG GO_IMAGE=golang:1.26.8-bookworm
FROM --platform=$BUILDPLATFORM $GO_IMAGE AS build
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=0.1.0-dev
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/tierd ./cmd/tierd
# The authorities of a pinned module, not those that the machine happens to have.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go run -C scripts/image/roots . > /out/ca-certificates.crt
RUN mkdir -p /out/data /out/run/tierd /out/tmp

FROM scratch
COPY --from=build --chmod=0444 /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chmod=0555 /out/tierd /tierd
COPY --from=build --chown=65532:65532 --chmod=0700 /out/data /data
# Certificates, where a side container with this same image fetches them (tierd pki fetch --to /run/tierd).
COPY --from=build --chown=65532:65532 --chmod=0700 /out/run/tierd /run/tierd
COPY --from=build --chown=65532:65532 --chmod=0700 /out/tmp /tmp
USER 65532:65532
WORKDIR /data
ENV TIERD_DATA_DIR=/data
ENV TIERD_LISTEN_CLIENT_URLS=https://0.0.0.0:2379
# Health is asked for inside the container, where it takes no certificate whatever clients must show. A frontend that sees
# lost writes is not to be replaced for that: it may hold them.
ENV TIERD_LISTEN_METRICS_URLS=http://127.0.0.1:2381
ENV TIERD_HEALTH_ENDPOINT=http://127.0.0.1:2381?exclude=data_corruption
VOLUME ["/data", "/run/tierd"]
EXPOSE 2379
HEALTHCHECK --interval=10s --timeout=7s --start-period=40s CMD ["/tierd", "health"]
ENTRYPOINT ["/tierd"]
CMD ["serve"]
