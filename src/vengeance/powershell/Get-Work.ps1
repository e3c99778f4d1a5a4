# Reads how far a piece of long work is that Start-Work started. Changes nothing.
#
# in:   {"name": "OllamaSetup.exe-1f0c"}
# out:  {"state": "running", "progress": {...}, "result": null, "error": null}
#       state: absent: never started; running; done: result holds what it gave; failed: error is its sentence;
#       died: it ended without a result, as when Windows restarted or somebody ended the process
#       progress: what the work said last, null before that
#
# Whether it runs is told by a file that the runner holds open and shares with nobody; Windows closes it however it ends:
# https://learn.microsoft.com/dotnet/api/system.io.fileshare
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$name = [string] $wanted.name
if ($name -notmatch '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$') { throw "'$name' is no name of work: use letters, digits, '.', '_' and '-'." }
$folder = [System.IO.Path]::Combine([Environment]::GetFolderPath('CommonApplicationData'), 'vengeance\work', $name)

function Read-Answer([string] $file) {
    $stream = $null
    for ($try = 1; $null -eq $stream; $try++) {
        try {
            $stream = [System.IO.FileStream]::new([System.IO.Path]::Combine($folder, $file), [System.IO.FileMode]::Open,
                [System.IO.FileAccess]::Read, [System.IO.FileShare] 'ReadWrite, Delete')
        }
        catch [System.IO.FileNotFoundException], [System.IO.DirectoryNotFoundException] { return $null }
        catch [System.IO.IOException], [System.UnauthorizedAccessException] {
            # It is being replaced, or a virus scanner looks at it.
            if ($try -ge 50) { throw }
            [System.Threading.Thread]::Sleep(50)
        }
    }
    try { $text = [System.IO.StreamReader]::new($stream).ReadToEnd() }
    finally { $stream.Dispose() }
    if ($text -eq '') { return $null }
    return ConvertFrom-Json -InputObject $text
}

function Test-Running {
    try {
        $probe = [System.IO.FileStream]::new([System.IO.Path]::Combine($folder, 'running.lock'), [System.IO.FileMode]::Open,
            [System.IO.FileAccess]::Read, [System.IO.FileShare] 'ReadWrite, Delete')
        $probe.Dispose()
        return $false
    }
    catch [System.IO.FileNotFoundException], [System.IO.DirectoryNotFoundException] { return $false }
    catch [System.IO.IOException] { return $true }
}

$answer = [ordered] @{ state = 'absent'; progress = $null; result = $null; error = $null }
if ([System.IO.File]::Exists([System.IO.Path]::Combine($folder, 'input.json'))) {
    # The lock first: what ends between the two looks is then seen by its result.
    $running = Test-Running
    $result = Read-Answer 'result.json'
    $answer.progress = Read-Answer 'progress.json'
    if ($null -ne $result) {
        $answer.result = $result.result
        $answer.error = $result.error
        $answer.state = 'done'
        if ($null -ne $result.error) { $answer.state = 'failed' }
    }
    elseif ($running) { $answer.state = 'running' }
    else { $answer.state = 'died' }
}
ConvertTo-Json -InputObject $answer -Compress -Depth 12
