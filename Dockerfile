# Waxseal as a container: two stages, the second with nothing but the binary, its libraries and the certificate authorities.

FROM rust:1-bookworm AS build
ENV SQLX_OFFLINE=true CARGO_TERM_COLOR=never
# The brokers that endpoints may be (docs/brokers.md); `kafka` is left out.
ARG FEATURES=nats,amqp,s3,kms-aws
WORKDIR /build

# Dependencies first, with empty sources: this layer is made anew only when Cargo.toml or Cargo.lock changes.
# Benches and the like are cut from this copy of the manifest, since their files are not here yet.
COPY Cargo.toml Cargo.lock ./
RUN awk '/^\[\[/ { skip = 1 } /^\[[^[]/ { skip = 0 } !skip' Cargo.toml > Cargo.deps && mv Cargo.deps Cargo.toml \
    && mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --features "$FEATURES" \
    && rm -r src Cargo.toml

COPY . .
# Cargo goes by the times of files, and copied ones may look older than the empty ones above.
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --features "$FEATURES" --bin waxseal \
    && strip target/release/waxseal

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/waxseal /usr/local/bin/waxseal
# A number that is nobody on the host either. Where keys and the epoch cell may live, if a volume is mounted there.
RUN mkdir -m 700 /var/lib/waxseal && chown 10001:10001 /var/lib/waxseal
USER 10001:10001
WORKDIR /var/lib/waxseal
EXPOSE 8080 8081 8082
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/waxseal", "health"]
# Nothing is written to the root file system, so it may be mounted read-only.
ENTRYPOINT ["/usr/local/bin/waxseal"]
CMD ["serve"]
