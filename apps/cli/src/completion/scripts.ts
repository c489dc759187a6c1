/**
 * What a shell runs on the tab key. The scripts know nothing of the commands: they hand the words to the hidden command
 * `lmas complete`, which answers one candidate a line, its meaning after a tabulator. So they never have to be made anew.
 */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** Of bash alone, without the package bash-completion. Its words are split at `:` and `=`, the line itself is not. */
const BASH = `# bash completion for lmas. Load it with: source <(lmas completion bash)
_lmas() {
  local line=\${COMP_LINE:0:COMP_POINT} candidate
  local -a words
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  local typed=\${words[-1]}
  # What bash takes for a word of its own stands already.
  local current=\${COMP_WORDS[COMP_CWORD]}
  [[ $current == [:=] ]] && current=
  local standing=\${typed%"$current"}
  COMPREPLY=()
  while IFS=$'\\t' read -r candidate _; do
    [[ $candidate == "$typed"* ]] && COMPREPLY+=("\${candidate#"$standing"}")
  done < <("\${words[0]}" complete -- "\${words[@]:1}" 2>/dev/null)
}
complete -o default -F _lmas lmas
`;

const ZSH = `#compdef lmas
# zsh completion for lmas. Load it with: source <(lmas completion zsh), or put it into a directory of $fpath as _lmas.
_lmas() {
  local line meaning
  local -a candidates
  while IFS=$'\\t' read -r line meaning; do
    candidates+=("\${line//:/\\\\:}\${meaning:+:$meaning}")
  done < <("\${words[1]}" complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( \${#candidates} )); then _describe -V 'lmas' candidates; else _files; fi
}
if [ "$funcstack[1]" = _lmas ]; then _lmas "$@"; else compdef _lmas lmas; fi
`;

const FISH = `# fish completion for lmas. Load it with: lmas completion fish | source
function __lmas_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l found ($words[1] complete -- $words[2..-1] 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c lmas -f -a '(__lmas_complete)'
`;

export const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
