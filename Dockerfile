# An image with mox. "docker compose up" runs it as docker-compose.yml says; there is more
# in docs/operations.md.
#
# For trying out, without any configuration:
#
#   docker run --rm -e MOXCONF=/mox/localserve/mox.conf \
#     -p 1025:1025 -p 1080:1080 -p 1143:1143 -p 1443:1443 -p 1465:1465 -p 1587:1587 -p 1993:1993 \
#     mox localserve -dir /mox/localserve -ip 0.0.0.0

FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /bin/mox .

FROM alpine:3
RUN apk add --no-cache ca-certificates tzdata && adduser -S -D -H -h /mox -u 10025 mox
COPY --from=build /bin/mox /bin/mox
# Started as root, it serves as the user mox. With --user, as that one.
WORKDIR /mox
ENV MOXCONF=/mox/config/mox.conf MOX_DOCKER=yes
VOLUME /mox/config /mox/data
EXPOSE 25/tcp 80/tcp 143/tcp 443/tcp 465/tcp 587/tcp 993/tcp 8010/tcp
HEALTHCHECK --interval=30s --timeout=15s --start-period=2m CMD ["/bin/mox", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/bin/mox"]
CMD ["serve"]
