CREATE TABLE {schema}.notes (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text        text NOT NULL,
    written_at  timestamptz NOT NULL DEFAULT now()
);
