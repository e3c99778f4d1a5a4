# Reads one value of the registry. Changes nothing.
#
# in:   {"key": "HKLM\\SOFTWARE\\Policies\\X", "value_name": "Y"}     HKLM or HKCU; value_name "": the default value
# out:  {"kind": "DWord", "data": 1}
#       kind: String, ExpandString (data unexpanded), DWord, QWord, MultiString (data is a list), Binary (data is hex digits);
#       both null where there is no such value
#
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registrykey.getvalue
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registryvaluekind
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$parts = ([string] $wanted.key).Split('\', 2)
$hives = @{ HKLM = 'LocalMachine'; HKCU = 'CurrentUser' }
$hive = $hives[$parts[0]]
if ($null -eq $hive -or $parts.Count -lt 2) { throw "'$($wanted.key)' is no key: begin with HKLM\ or HKCU\." }

$kind = $null
$data = $null
$key = [Microsoft.Win32.RegistryKey]::OpenBaseKey($hive, 'Registry64').OpenSubKey($parts[1])
if ($null -ne $key) {
    $found = $key.GetValue([string] $wanted.value_name, $null, 'DoNotExpandEnvironmentNames')
    if ($null -ne $found) {
        $kind = $key.GetValueKind([string] $wanted.value_name).ToString()
        # Numbers are read as signed ones.
        if ($kind -eq 'DWord') { $data = [long] $found -band [long] [uint32]::MaxValue }
        elseif ($kind -eq 'QWord') { $data = [long] $found }
        elseif ($kind -eq 'MultiString') { $data = [string[]] @($found) }
        elseif ($kind -eq 'String' -or $kind -eq 'ExpandString') { $data = [string] $found }
        else {
            $kind = 'Binary'
            $data = [BitConverter]::ToString([byte[]] @($found)).Replace('-', '').ToLowerInvariant()
        }
    }
}

$answer = [ordered] @{ kind = $kind; data = $data }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
