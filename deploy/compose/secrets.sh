# Makes the secrets of compose.yaml, unless an earlier start has made them:
#   secrets.sh TEMPLATE DIRECTORY_OF_SIGNUPD DIRECTORY_OF_KRATOS
# TEMPLATE is kratos.yml beside this file.
set -eu
umask 077
template=$1 ours=$2 kratos=$3
[ ! -e "$kratos/kratos.yml" ] || exit 0
# 32 characters, which is what Kratos' cipher wants.
secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

rm -f "$ours"/*.key
hook=$(secret)
printf %s "$hook" >"$ours/hook.key"
for name in token digest; do
  signupd keys new >"$ours/$name.key" 2>/dev/null
done
chmod 0400 "$ours"/*.key
# The user of our image.
[ "$(id -u)" != 0 ] || chown 10001:10001 "$ours"/*.key
sed -e "s/MADE_HOOK_KEY/$hook/" -e "s/MADE_COOKIE_SECRET/$(secret)/" \
  -e "s/MADE_CIPHER_SECRET/$(secret)/" "$template" >"$kratos/kratos.part"
chmod 0444 "$kratos/kratos.part" # that image's user has another number
mv "$kratos/kratos.part" "$kratos/kratos.yml"
