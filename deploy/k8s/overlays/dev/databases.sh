# Run once by the image of PostgreSQL, when its folder is new: a database for each service and one for the keys, each with a role
# of its own.
for name in performance coaching promotion gateway keys; do
  psql -v ON_ERROR_STOP=1 -v name="$name" -v password="$(cat "/etc/passwords/$name")" --username postgres <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
