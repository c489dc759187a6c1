BEGIN;
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20)
UPDATE account SET balance = balance + 1 + abs(random()) % 100 WHERE id IN (SELECT 1 + abs(random()) % 300000 FROM n);
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20)
INSERT INTO history SELECT 1 + abs(random()) % 300000, abs(random()) % 100, unixepoch(), 'paid by card, thank you' FROM n;
COMMIT;
