# An image with one static binary, the public authorities' certificates and nothing else: no shell, no
# package manager, no user but 65532, nothing that it has to write outside of /data and /tmp.
#
#   docker build --build-arg VERSION=0.1.0 -t tierd .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp -v tierd:/data \
#     -p 2379:2379 -e TIERD_HOT_TIER -e TIERD_OBJECT_TIER -e TIERD_CERT_FILE=... tierd
#
# It serves no Redis of its own (there is no redis-server in it): give it TIERD_HOT_TIER.
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=0.1.0-dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/tierd ./cmd/tierd
RUN mkdir -p /out/data /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chmod=0555 /out/tierd /tierd
COPY --from=build --chown=65532:65532 --chmod=0700 /out/data /data
COPY --from=build --chown=65532:65532 --chmod=0700 /out/tmp /tmp
USER 65532:65532
WORKDIR /data
ENV TIERD_DATA_DIR=/data
ENV TIERD_LISTEN_CLIENT_URLS=https://0.0.0.0:2379
ENV TIERD_HEALTH_ENDPOINT=https://127.0.0.1:2379
VOLUME ["/data"]
EXPOSE 2379
HEALTHCHECK --interval=10s --timeout=7s --start-period=40s CMD ["/tierd", "health"]
ENTRYPOINT ["/tierd"]
CMD ["serve"]
