{{- /* Networks, held to what the API server accepts: no leading zeros, no bits beyond the prefix, no IPv4 address
written as IPv6. */ -}}

{{- /* An address in its 16-bit groups, two (IPv4) or eight (IPv6), with spaces between. */ -}}
{{- define "worker.groups" -}}
{{- if contains "." . -}}
{{- $octets := splitList "." . -}}
{{- add (mul 256 (atoi (index $octets 0))) (atoi (index $octets 1)) }} {{ add (mul 256 (atoi (index $octets 2))) (atoi (index $octets 3)) -}}
{{- else -}}
{{- $halves := splitList "::" . -}}
{{- $left := compact (splitList ":" (first $halves)) -}}
{{- $right := compact (splitList ":" (ternary (last $halves) "" (eq (len $halves) 2))) -}}
{{- $groups := list -}}
{{- range $left }}{{ $groups = append $groups (int64 (printf "0x%s" .)) }}{{ end -}}
{{- range until (int (sub 8 (add (len $left) (len $right)))) }}{{ $groups = append $groups 0 }}{{ end -}}
{{- range $right }}{{ $groups = append $groups (int64 (printf "0x%s" .)) }}{{ end -}}
{{- join " " $groups -}}
{{- end -}}
{{- end }}

{{- /* (list ADDRESS BITS): the groups of the network of so many bits that the address is in. */ -}}
{{- define "worker.masked" -}}
{{- $bits := int (last .) -}}
{{- $powers := list 1 2 4 8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768 65536 -}}
{{- $masked := list -}}
{{- range $i, $group := splitList " " (include "worker.groups" (first .)) -}}
{{- $unit := index $powers (int (sub 16 (min 16 (max 0 (sub $bits (mul 16 $i)))))) -}}
{{- $masked = append $masked (mul $unit (div (atoi $group) $unit)) -}}
{{- end -}}
{{- join " " $masked -}}
{{- end }}

{{- /* (dict "what" WHERE "text" ADDRESS | NETWORK): fails, naming the value, when it is neither. */ -}}
{{- define "worker.checkForm" -}}
{{- $address := first (splitList "/" .text) }}{{ $bits := trimPrefix $address .text | trimPrefix "/" | default "0" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" }}{{ $groups := "[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4})*" -}}
{{- $written := len (regexFindAll "[0-9a-fA-F]+" $address -1) -}}
{{- $ipv4 := regexMatch (printf "^(%s\\.){3}%s$" $octet $octet) $address -}}
{{- $whole := and (regexMatch (printf "^%s$" $groups) $address) (eq $written 8) -}}
{{- $short := and (regexMatch (printf "^(%s)?::(%s)?$" $groups $groups) $address) (lt $written 8) -}}
{{- $prefix := and (regexMatch "^(0|[1-9][0-9]{0,2})$" $bits) (le (atoi $bits) (ternary 32 128 $ipv4)) -}}
{{- if not (and (or $ipv4 $whole $short) $prefix) -}}
{{- fail (printf "%s: %s is no address and no network; write them as 10.96.0.0/12, 192.168.7.9 or fd00:1::/64, without leading zeros" .what .text) -}}
{{- end -}}
{{- end }}

{{- /* The same dict: fails, naming the value, unless it is one that a policy may hold. */ -}}
{{- define "worker.checkNetwork" -}}
{{- include "worker.checkForm" . -}}
{{- $address := first (splitList "/" .text) -}}
{{- $longest := ternary 128 32 (contains ":" $address) -}}
{{- $bits := last (splitList "/" (ternary .text (printf "/%d" $longest) (contains "/" .text))) -}}
{{- $groups := include "worker.groups" $address -}}
{{- if hasPrefix "0 0 0 0 0 65535 " $groups -}}
{{- fail (printf "%s: %s is an IPv4 address written as IPv6: write it as IPv4" .what .text) -}}
{{- end -}}
{{- if ne $groups (include "worker.masked" (list $address $bits)) -}}
{{- fail (printf "%s: %s has bits beyond its prefix of %s: write the network's first address, or /%d for this one alone" .what .text $bits $longest) -}}
{{- end -}}
{{- end }}

{{- /* (dict "what" WHERE "peers" [PEER]): the ipBlocks of NetworkPolicy peers. */ -}}
{{- define "worker.checkPeers" -}}
{{- $what := .what -}}
{{- range .peers }}{{ with .ipBlock -}}
{{- $block := . -}}
{{- include "worker.checkNetwork" (dict "what" $what "text" .cidr) -}}
{{- $bits := last (splitList "/" .cidr) -}}
{{- range .except -}}
{{- include "worker.checkNetwork" (dict "what" $what "text" .) -}}
{{- $address := first (splitList "/" .) -}}
{{- $inside := eq (include "worker.masked" (list $address $bits)) (include "worker.groups" (first (splitList "/" $block.cidr))) -}}
{{- if not (and $inside (gt (atoi (last (splitList "/" .))) (atoi $bits))) -}}
{{- fail (printf "%s: except %s is not a part of %s" $what . $block.cidr) -}}
{{- end -}}
{{- end -}}
{{- end }}{{ end -}}
{{- end }}

{{- /* An IPv4 network behind a NAT64 translator's well-known prefix (RFC 6052 2.1). */ -}}
{{- define "worker.nat64" -}}
{{- $groups := splitList " " (include "worker.groups" (first (splitList "/" .))) -}}
{{- $text := printf "64:ff9b::%x:%x" (atoi (first $groups)) (atoi (last $groups)) -}}
{{- ternary "64:ff9b::" $text (eq $text "64:ff9b::0:0") }}/{{ add 96 (atoi (last (splitList "/" .))) }}
{{- end }}
