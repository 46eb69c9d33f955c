-- The schema may be renamed: what a function names is bound when the function is made, not looked up
-- by its name in each call. That keeps it independent of the caller's search_path, too.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The value of [value], or of a reference. A body that is bound can't call itself, so the value is
-- put together as text: its parts are found level by level, and joined in the order of their paths.
CREATE OR REPLACE FUNCTION {schema}.stored_value(thread_id text, stored jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH RECURSIVE part AS (
        -- A tree is what a reference names; its nodes are chunks.
        SELECT ARRAY[0] AS path, 'tree' AS role, NULL::text AS content,
            stored_value.stored AS tree, NULL::bytea AS hash, 0 AS depth, '{}'::bytea[] AS above
        UNION ALL
        SELECT part.path || inner_part.place, inner_part.role, inner_part.content,
            inner_part.tree, inner_part.hash, inner_part.depth,
            CASE WHEN part.hash IS NULL THEN part.above ELSE part.above || part.hash END
        FROM part
        LEFT JOIN {schema}.chunks AS c
            ON c.thread_id = stored_value.thread_id AND c.hash = part.hash,
        LATERAL (
            SELECT part.role = 'node' AND part.depth > 0 AS inner_node,
                part.role = 'node' AND part.depth = 0 AS leaf,
                part.tree ->> 'k' AS kind,
                CASE WHEN part.tree ->> 'k' IN ('a', 'A', 'v') THEN c.content
                    ELSE c.content -> 0 END AS plain,
                part.tree ->> 'k' <> 'v' AND jsonb_typeof(c.content) = 'object' AS nested
        ) AS node,
        LATERAL (
            -- Fails, and says why: a value that is missing is no null.
            SELECT CASE
                WHEN node.inner_node AND c.refs IS NULL OR node.leaf AND c.content IS NULL
                    THEN 'chunk ' || encode(part.hash, 'hex') || ' is missing'
                WHEN part.hash = ANY (part.above)
                    THEN 'chunk ' || encode(part.hash, 'hex') || ' holds itself'
                WHEN node.leaf AND NOT node.nested AND node.kind <> 'v' AND jsonb_typeof(node.plain)
                    IS DISTINCT FROM CASE WHEN node.kind IN ('a', 'A') THEN 'array' ELSE 'object' END
                    THEN 'chunk ' || encode(part.hash, 'hex') || ' has the wrong form'
                END AS message
        ) AS fault,
        LATERAL (
            SELECT 0 AS place, 'fault' AS role, fault.message AS content,
                NULL::jsonb AS tree, NULL::bytea AS hash, 0 AS depth
            WHERE fault.message IS NOT NULL
            UNION ALL
            SELECT -1, 'open', CASE WHEN node.kind IN ('a', 'A') THEN '[' ELSE '{' END, NULL, NULL, 0
            WHERE part.role = 'tree' AND node.kind <> 'v'
            UNION ALL
            SELECT top.place, 'node', NULL, part.tree, top.hash, (part.tree ->> 'd')::integer
            FROM {schema}.unpacked(decode(part.tree ->> 'r', 'base64')) AS top
            WHERE part.role = 'tree'
            UNION ALL
            SELECT 2147483647, 'close', CASE WHEN node.kind IN ('a', 'A') THEN ']' ELSE '}' END,
                NULL, NULL, 0
            WHERE part.role = 'tree' AND node.kind <> 'v'
            UNION ALL
            SELECT below.place, 'node', NULL, part.tree, below.hash, part.depth - 1
            FROM {schema}.unpacked(c.refs) AS below
            WHERE node.inner_node AND fault.message IS NULL
            UNION ALL
            -- A leaf's items or members, without the brackets around them.
            SELECT 0, 'value', CASE WHEN node.kind = 'v' THEN node.plain::text
                ELSE substring(node.plain::text FROM 2 FOR length(node.plain::text) - 2) END,
                NULL, NULL, 0
            WHERE node.leaf AND NOT node.nested AND fault.message IS NULL
                AND (node.kind = 'v' OR node.plain NOT IN ('[]', '{}'))
            UNION ALL
            -- A leaf with further trees in it.
            SELECT item.place::integer,
                CASE WHEN jsonb_typeof(item.value) = 'array' THEN 'value' ELSE 'tree' END,
                CASE WHEN jsonb_typeof(item.value) = 'array' THEN (item.value -> 0)::text END,
                CASE WHEN jsonb_typeof(item.value) <> 'array' THEN item.value END,
                NULL, 0
            FROM jsonb_array_elements(
                CASE WHEN node.leaf AND node.nested AND node.kind IN ('a', 'A')
                    THEN c.content -> 'm' END
            ) WITH ORDINALITY AS item (value, place)
            UNION ALL
            SELECT 2 * member.place::integer + half.place,
                CASE WHEN half.place = 0 THEN 'key'
                    WHEN jsonb_typeof(member.value) = 'array' THEN 'value' ELSE 'tree' END,
                CASE WHEN half.place = 0 THEN to_jsonb(member.key)::text || ':'
                    WHEN jsonb_typeof(member.value) = 'array' THEN (member.value -> 0)::text END,
                CASE WHEN half.place = 1 AND jsonb_typeof(member.value) <> 'array'
                    THEN member.value END,
                NULL, 0
            FROM jsonb_each(
                CASE WHEN node.leaf AND node.nested AND node.kind NOT IN ('a', 'A')
                    THEN c.content -> 'm' END
            ) WITH ORDINALITY AS member (key, value, place),
            generate_series(0, 1) AS half (place)
        ) AS inner_part
        WHERE part.role IN ('tree', 'node')
    ), joined AS (
        SELECT path, content, role IN ('key', 'value', 'open')
            AND lag(role) OVER (ORDER BY path) IN ('value', 'close') AS further
        FROM part
        WHERE role NOT IN ('tree', 'node')
    )
    SELECT CASE WHEN jsonb_typeof(stored_value.stored) = 'array' THEN stored_value.stored -> 0
        ELSE coalesce(
            (SELECT content::jsonb FROM part WHERE role = 'fault' LIMIT 1),
            (SELECT string_agg(CASE WHEN further THEN ',' ELSE '' END || content, '' ORDER BY path)
                ::jsonb FROM joined))
        END;
END;
