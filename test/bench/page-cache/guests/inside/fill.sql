-- Accounts as in TPC-B, in a file in memory: written through the log, read through the page cache.
PRAGMA journal_mode = WAL;
CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, owner TEXT NOT NULL, note TEXT NOT NULL);
CREATE TABLE history (account INTEGER NOT NULL, delta INTEGER NOT NULL, at INTEGER NOT NULL, filler TEXT NOT NULL);
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
INSERT INTO account SELECT i, 1000, 'Customer number ' || i, hex(randomblob(50)) || ' has an account with us since 2011' FROM n;
