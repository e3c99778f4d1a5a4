# Writes or removes one value of the registry; a key that is missing is made, and one that becomes empty stays.
#
# in:   {"key": "HKLM\\SOFTWARE\\Policies\\X", "value_name": "Y", "kind": "DWord", "data": 1, "present": true}
#       HKLM or HKCU; kind: String, ExpandString, DWord, QWord, MultiString; with present false kind and data do not count
# out:  {"changed": true, "before": {"kind": null, "data": null}, "after": {"kind": "DWord", "data": 1},
#        "reboot_required": false}
#       both null where there is no such value
#
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registrykey.setvalue
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registryvaluekind
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$name = [string] $wanted.value_name
$parts = ([string] $wanted.key).Split('\', 2)
$hives = @{ HKLM = 'LocalMachine'; HKCU = 'CurrentUser' }
$hive = $hives[$parts[0]]
if ($null -eq $hive -or $parts.Count -lt 2) { throw "'$($wanted.key)' is no key: begin with HKLM\ or HKCU\." }
$base = [Microsoft.Win32.RegistryKey]::OpenBaseKey($hive, 'Registry64')

function Get-Value {
    $answer = [ordered] @{ kind = $null; data = $null }
    $key = $base.OpenSubKey($parts[1])
    if ($null -eq $key) { return $answer }
    $found = $key.GetValue($name, $null, 'DoNotExpandEnvironmentNames')
    if ($null -eq $found) { return $answer }
    $answer.kind = $key.GetValueKind($name).ToString()
    if ($answer.kind -eq 'DWord') { $answer.data = [long] $found -band [long] [uint32]::MaxValue }
    elseif ($answer.kind -eq 'QWord') { $answer.data = [long] $found }
    elseif ($answer.kind -eq 'MultiString') { $answer.data = [string[]] @($found) }
    elseif ($answer.kind -eq 'String' -or $answer.kind -eq 'ExpandString') { $answer.data = [string] $found }
    else {
        $answer.kind = 'Binary'
        $answer.data = [BitConverter]::ToString([byte[]] @($found)).Replace('-', '').ToLowerInvariant()
    }
    return $answer
}

# As JSON both sides are one text, whatever the kind.
function Test-Same($one, $other) {
    return [string]::Equals((ConvertTo-Json -InputObject $one -Compress -Depth 3),
        (ConvertTo-Json -InputObject $other -Compress -Depth 3), [StringComparison]::Ordinal)
}

$before = Get-Value
$changed = $false
if ($wanted.present) {
    $goal = [ordered] @{ kind = [string] $wanted.kind; data = $null }
    switch ($goal.kind) {
        'DWord' {
            $goal.data = [long] $wanted.data
            # SetValue takes a signed number of the same 32 bits.
            $write = [BitConverter]::ToInt32([BitConverter]::GetBytes([uint32] $wanted.data), 0)
        }
        'QWord' { $goal.data = [long] $wanted.data; $write = [long] $wanted.data }
        'MultiString' { $goal.data = [string[]] @($wanted.data); $write = [string[]] @($wanted.data) }
        'String' { $goal.data = [string] $wanted.data; $write = [string] $wanted.data }
        'ExpandString' { $goal.data = [string] $wanted.data; $write = [string] $wanted.data }
        default { throw "A value of the kind '$($goal.kind)' is not written here." }
    }
    if (-not (Test-Same $before $goal)) {
        $key = $base.CreateSubKey($parts[1])
        $key.SetValue($name, $write, $goal.kind)
        $key.Dispose()
        $changed = $true
    }
}
elseif ($null -ne $before.kind) {
    $key = $base.OpenSubKey($parts[1], $true)
    $key.DeleteValue($name, $false)
    $key.Dispose()
    $changed = $true
}

$answer = [ordered] @{ changed = $changed; before = $before; after = Get-Value; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 4
