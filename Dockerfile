# Builds one static binary, and an image with nothing else but certificates of
# authorities and time zones:
#
#	docker build -t mox .
#	docker run --rm -p 1025:1025 -p 1143:1143 -p 1465:1465 -p 1587:1587 -p 1993:1993 \
#		-v mox-data:/data mox localserve -dir /data/localserve -ip 0.0.0.0
#
# mox opens no ports below 1024 for localserve, so it does not run as root.

FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /bin/mox .
RUN mkdir /data && chown 65534:65534 /data

FROM alpine:3
RUN apk add --no-cache ca-certificates tzdata
COPY --from=build /bin/mox /bin/mox
COPY --from=build --chown=65534:65534 /data /data
USER 65534:65534
VOLUME /data
EXPOSE 1025/tcp 1143/tcp 1465/tcp 1587/tcp 1993/tcp
ENTRYPOINT ["/bin/mox"]
CMD ["localserve", "-dir", "/data/localserve", "-ip", "0.0.0.0"]
